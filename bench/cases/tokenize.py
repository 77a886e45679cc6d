import make_rows
from cases import case
from compare import Row
from machine import cores


@case("tokenize", "Preparation: UltraFeedback's texts to token ids by Qwen3's tokenizer, beside encode_batch of Python's tokenizers")
def tokenize(bench):
    count = 1_000 if bench.quick else 20_000
    source = bench.shared("pref/ultrafeedback-train1000.pairs.jsonl")
    rows = bench.made(f"rows/repeated-{count}.jsonl", lambda path: make_rows.repeated(path, source, count))
    model = bench.model("qwen3-small", "qwen3")
    theirs = bench.peer("encode.py", "--tokenizer", model / "tokenizer.json", "--pairs", rows, "--threads", cores())
    [(_, metrics)] = bench.go("dpo", "BenchmarkReadRows", "-rows", rows, "-tokenizer", model)
    rate = count / metrics["read-s"]
    best = theirs and count / theirs[1]["seconds"]
    yield Row(f"{count:,} rows, read and tokenized", rate, best, "rows/s", best and rate / best, 0.9)
