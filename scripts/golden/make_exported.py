"""Exports tiny models to ONNX as users do, into testdata/exported: by both of torch.onnx.export's exporters. Of the newer one's metadata the
stack traces are left out, which hold the paths of the machine. What they are judged by is make_trl.py's.

ort_tiny gives the model of ../shared/data/models/ort-tiny, which ONNX Runtime's own tools have exported and fused, as a model of transformers.
"""
import pathlib
import shutil
import sys

import numpy
import onnx
import torch
from onnx import helper, numpy_helper
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "testdata/exported"
ORT_TINY = ROOT.parent / "shared/data/models/ort-tiny/tiny-random-gpt2-fp32/past.onnx"


class Logits(torch.nn.Module):
    """What is exported: logits alone, without a cache."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits


def export(name, exporter):
    model = AutoModelForCausalLM.from_pretrained(ROOT / f"testdata/models/tiny-{name}", dtype=torch.float32).eval()
    ids = torch.arange(14).reshape(2, 7)
    inputs, names = (ids, torch.ones_like(ids)), ["input_ids", "attention_mask"]
    path = OUT / f"{name}-{exporter}.onnx"
    if exporter == "script":
        axes = {i: {0: "batch", 1: "tokens"} for i in names + ["logits"]}
        torch.onnx.export(Logits(model), inputs, str(path), input_names=names, output_names=["logits"], dynamic_axes=axes, dynamo=False)
    else:
        axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=100)}
        torch.onnx.export(Logits(model), inputs, str(path), input_names=names, output_names=["logits"], dynamic_shapes={i: axes for i in names},
                          dynamo=True, external_data=False)
    stripped = onnx.load(path)
    for node in stripped.graph.node:
        node.doc_string = ""
        kept = [p for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    for value in [*stripped.graph.value_info, *stripped.graph.input, *stripped.graph.output, *stripped.graph.initializer]:
        del value.metadata_props[:]
    del stripped.metadata_props[:]
    del stripped.graph.metadata_props[:]
    del stripped.graph.value_info[:]
    onnx.save(stripped, path)


def ort_tiny(directory):
    """Writes it to a directory of transformers."""
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(ORT_TINY).graph.initializer}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=1000, n_positions=512, n_embd=32, n_layer=5, n_head=4, activation_function="gelu_new",
                                       layer_norm_epsilon=1e-5, bos_token_id=98, eos_token_id=98))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in tensors:
                p.copy_(torch.tensor(tensors[name]))
            else:  # equal tensors are in the file once: norms of ones, and biases of zero
                p.fill_(1.0 if name.endswith("weight") else 0.0)
    assert numpy.array_equal(tensors["transformer.wte.weight"].T, tensors["onnx::MatMul_1400"]), "its head is not its embedding"
    model.save_pretrained(directory)
    for file in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(ROOT / "testdata/models/tiny-llama" / file, directory)
    return directory


def external(name, location):
    """Writes a model of no layers whose head lies in another file."""
    tensor = numpy_helper.from_array(numpy.zeros((4, 9), numpy.float32), "head.weight")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    embed = numpy_helper.from_array(numpy.ones((9, 4), numpy.float32), "embed.weight")
    nodes = [helper.make_node("Gather", ["embed.weight", "input_ids"], ["hidden"]), helper.make_node("MatMul", ["hidden", "head.weight"], ["logits"])]
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["batch", "tokens"])],
                              [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", "tokens", 9])], [embed, tensor])
    (OUT / f"{name}.onnx").write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString())


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    external("beside", "weights.bin")
    external("outside", "../weights.bin")
    for file in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(ROOT / "testdata/models/tiny-llama" / file, OUT)
    for name in sys.argv[1:] or ["gpt2", "llama"]:
        for exporter in ["script", "dynamo"]:
            export(name, exporter)
