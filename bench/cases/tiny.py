import json

from cases import case
from compare import faster

BATCH = 32


@case("tiny", "stories260K, batches of 32, 120 steps on stories-sentiment: a tiny model, where overhead is all; beside a PyTorch loop")
def tiny(bench):
    steps = 12 if bench.quick else 120
    model, rows = bench.shared("models/stories260K-hf"), bench.shared("pref/stories-sentiment-train.pairs.jsonl")
    theirs = bench.peer("train_loop.py", "--model", model, "--pairs", rows, "--batch", BATCH, "--steps", steps)
    run, metrics = bench.train(model, rows, "--batch", BATCH, "--steps", steps, "--optimizer", "adamw", "--max-grad-norm", "1", "--beta", "0.5", "--lr", "1e-4")
    yield faster(f"{steps} steps, PyTorch float32", training(run), theirs and theirs[1]["seconds"], 4, peak=run.peak, their_peak=theirs and theirs[0].peak,
                 note=theirs and f"last loss {metrics[-1]['loss']:.3f}, PyTorch's {theirs[1]['loss']:.3f}" or "")


def training(run):
    """Seconds of all steps and what lies between them, without loading, reference and saving: from the end of the first step to that of the
    last, and the first step."""
    steps = [(at, event["Metrics"]) for at, event in ((at, json.loads(line)) for at, line in run.lines) if event.get("Metrics")]
    return steps[-1][0] - steps[0][0] + steps[0][1]["step_seconds"]
