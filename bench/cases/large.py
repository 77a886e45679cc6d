"""The model's file takes 4.4 GB of the work folder; the run's checkpoint and model another 18 GB, until it ends."""
import subprocess

from bench import size
from cases import case
from compare import share
from process import Failed

PAIRS, PROMPT, COMPLETION, LIMIT = 4, 128, 64, 24 * 2**30


@case("large", "A Llama of 1.1B parameters, full fine-tuning with AdamW in float32: two steps of four pairs of 128+64 tokens")
def large(bench):
    if bench.round:
        return  # that it runs is shown once
    shape = "llama-1.1b-cut" if bench.quick else "llama-1.1b"
    rows = bench.exact(shape, 2 * PAIRS, PROMPT, COMPLETION)
    model, out = bench.model(shape), bench.work / "large"
    try:
        run = bench.program("train", "--model", model, "--data", rows, "--out", out, "--eos", "keep", "--batch", PAIRS, "--steps", 2,
                            "--optimizer", "adamw", "--max-length", PROMPT + COMPLETION, "--max-prompt-length", PROMPT, "--save-every", 0, "--cache", "none",
                            "--memory", "21GiB")
    finally:
        subprocess.run(["rm", "-rf", model, out], check=True)
    if run.swapped:
        raise Failed(f"the machine swapped {size(run.swapped)}: give the bench the machine for itself")
    plan = [line.strip() for _, line in run.lines if line.startswith(("memory", "plan"))]
    note = f"anonymous {size(run.anonymous)}, mapped from files {size(run.mapped)}, no swap. The plan: {' '.join(' '.join(plan).split())}"
    yield share("peak memory of 24 GiB", run.peak / 1e9, LIMIT / 1e9, "GB", 1, peak=run.peak, note=note)
