import make_rows
from cases import case
from compare import faster, share

MODEL, MAX_LENGTH = "qwen3-small", 512


@case("real", "Real lengths: 64 pairs of UltraFeedback, Qwen3's tokenizer and vocabulary, hidden 512, 12 layers, batch 8")
def real(bench):
    steps, warm_up, batch = (2, 1, 2) if bench.quick else (10, 2, 8)  # eight steps that count: 64 pairs
    source = bench.shared("pref/ultrafeedback-train1000.pairs.jsonl")
    rows = bench.made(f"rows/real-{steps * batch}.jsonl", lambda path: make_rows.first(path, source, steps * batch))
    model = bench.model(MODEL, "qwen3")
    theirs = bench.peer("trl_step.py", "--model", model, "--pairs", rows, "--batch", batch, "--steps", steps, "--max-length", MAX_LENGTH)
    run, metrics = bench.train(model, rows, "--no-shuffle", "--batch", batch, "--steps", steps, "--optimizer", "adamw", "--max-grad-norm", "1",
                               "--max-length", MAX_LENGTH, "--truncate", "end")
    # Steps differ in length: what counts is all of them.
    ours = sum(m["step_seconds"] for m in metrics[warm_up:])
    yield faster(f"{batch * (steps - warm_up)} pairs, TRL float32", ours, theirs and sum(theirs[1]["step_seconds"][warm_up:]), 5, peak=run.peak, their_peak=theirs and theirs[0].peak)
    yield share("peak memory over TRL's", run.peak / 1e9, theirs and theirs[0].peak / 1e9, "GB", 0.4)
