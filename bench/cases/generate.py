import json

import make_rows
import steps
from cases import case
from compare import Row
from process import Failed

PROMPT, NEW, BATCH = 128, 64, 16


@case("generate", "Greedy text after prompts of 128 tokens, 135M Llama, float32, batches of 16, beside transformers' generate with its cache")
def generate(bench):
    batches = 1 if bench.quick else 2
    model, rows = bench.model(steps.SHAPE), bench.exact(steps.SHAPE, BATCH * (batches + 1), PROMPT, 2)
    few, many = (bench.made(f"rows/prompts-{n}.jsonl", lambda path: make_rows.write(path, [{"prompt": r["prompt"]} for r in make_rows.read(rows)[:n]]))
                 for n in (BATCH, BATCH * (batches + 1)))
    short, long = ours(bench, model, few), ours(bench, model, many)
    rate = BATCH * batches * NEW / (long.seconds - short.seconds)  # start-up is in both
    theirs = bench.peer("generate.py", "--model", model, "--prompts", few, "--batch", BATCH, "--new", NEW)
    their_rate = theirs and theirs[1]["tokens_per_second"]
    if theirs:
        agree(bench, theirs[1]["first"])
    yield Row("tokens a second", rate, their_rate, "tokens/s", theirs and rate / their_rate, 2, peak=long.peak, their_peak=theirs and theirs[0].peak)


def ours(bench, model, prompts):
    run = bench.program("generate", "--model", model, "--data", prompts, "--out", bench.work / "generated.parquet", "--overwrite", "--temperature", 0,
                        "--max-tokens", NEW, "--batch", BATCH, "--json", "--quiet")
    if json.loads(run.stdout)["Stopped"]:
        raise Failed("a text ended by itself: the rates cannot be compared")
    return run


def agree(bench, first):
    """Both programs must begin the first text alike; near ties may part them later."""
    converted = bench.work / "generated.jsonl"
    converted.unlink(missing_ok=True)
    bench.program("data", "convert", "--data", bench.work / "generated.parquet", "--out", converted)
    with open(converted) as file:
        got = json.loads(file.readline())["completions"][0]
    if got.split()[:4] != first.split()[:4]:
        raise Failed(f"generate and transformers differ: {got[:60]!r} and {first[:60]!r}")
