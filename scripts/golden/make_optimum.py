"""Exports tiny models to ONNX by Optimum, with inputs for a cache, into testdata/exported; run by the Python of scripts/interop-onnx. What they are
judged by is make_trl.py's."""
import pathlib
import shutil
import tempfile

from optimum.exporters.onnx import main_export

ROOT = pathlib.Path(__file__).resolve().parents[2]

for name in ["gpt2", "llama"]:
    with tempfile.TemporaryDirectory() as out:
        main_export(str(ROOT / f"testdata/models/tiny-{name}"), output=out, task="text-generation-with-past", device="cpu", framework="pt", opset=18)
        shutil.copy(pathlib.Path(out) / "model.onnx", ROOT / f"testdata/exported/{name}-optimum.onnx")
