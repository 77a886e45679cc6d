import json, math

import make_rows
import steps
from cases import case
from compare import Row
from process import Failed

PROMPT, COMPLETION = 512, 128


@case("score", "Log-probabilities of pairs of 512+128 tokens, 135M Llama, beside transformers' forward pass, best of batches of 1, 4 and 8")
def score(bench):
    few, many = (2, 6) if bench.quick else (16, 64)
    model, rows = bench.model(steps.SHAPE), bench.exact(steps.SHAPE, many, PROMPT, COMPLETION)
    head = bench.made(f"rows/score-{few}.jsonl", lambda path: make_rows.write(path, make_rows.read(rows)[:few]))
    short, long = ours(bench, model, head), ours(bench, model, rows)
    rate = (many - few) / (long.seconds - short.seconds)  # start-up is in both
    theirs = bench.peer("score_sums.py", "--model", model, "--pairs", rows, "--rows", 4 if bench.quick else 16)
    if theirs:
        agree(bench, theirs[1]["chosen"])
    best = theirs and theirs[1]["rows_per_second"][theirs[1]["best"]]
    yield Row("rows a second", rate, best, "rows/s", best and rate / best, 4, peak=long.peak, their_peak=theirs and theirs[0].peak,
              note="" if not theirs else f"transformers was best in batches of {theirs[1]['best']} sequences")


def ours(bench, model, rows):
    return bench.program("score", "--model", model, "--data", rows, "--out", bench.work / "scored.parquet", "--overwrite", "--eos", "keep", "--quiet")


def agree(bench, sums):
    """Both programs must have computed the same."""
    converted = bench.work / "scored.jsonl"
    converted.unlink(missing_ok=True)
    bench.program("data", "convert", "--data", bench.work / "scored.parquet", "--out", converted)
    with open(converted) as file:
        for row, want in enumerate(sums):
            got = json.loads(file.readline())["policy_chosen_logps"]
            if not math.isclose(got, want, abs_tol=1e-2):
                raise Failed(f"score and transformers differ in row {row}: {got} and {want}")
