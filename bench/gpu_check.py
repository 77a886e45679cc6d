"""The work of scripts/gpu-check run: what a GPU computes, beside the CPU and beside PyTorch. Writes gpu-check.json and gpu-check.md.

    python3 bench/gpu_check.py OUT [PART]...

Parts: tests, speed (ours), peers (PyTorch), lora (a 7B model), which are run if none is named, and offload (all weights of a 7B model, which takes minutes to load).
"""
import json, os, pathlib, re, signal, statistics, subprocess, sys, tempfile, time

import make_model, make_rows

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEVICE = "cuda:0"
PEAK = 989e12  # bf16 operations a second of an H100 or H200, dense, by the datasheet
BATCH, PROMPT, COMPLETION = 16, 512, 256
WARM_UP, STEPS = 2, 5


def run(command, limit=240, cwd=ROOT, **environment):
    """(exit code, what it printed)."""
    print("  $", *[pathlib.Path(word).name if "/" in str(word) else word for word in map(str, command)], flush=True)
    try:
        done = subprocess.run([str(word) for word in command], cwd=cwd, env=os.environ | environment, timeout=limit, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout
    except FileNotFoundError as missing:
        return 127, f"{missing.filename} is not there\n"
    except subprocess.TimeoutExpired as late:
        return 124, (late.stdout or b"").decode(errors="replace")


def program():
    packed = ROOT / "bin" / "dpo-ort"
    return packed if packed.exists() else sys.exit("gpu-check: bin/dpo-ort is not there: make build")


def tests(package, pattern):
    """The tests of a package that need a GPU: the packed binary, or go test."""
    folder = ROOT / package
    binary = folder / (folder.name + ".test")
    command = [binary, "-test.v", "-test.run", pattern] if binary.exists() else ["go", "test", "-count=1", "-v", "-run", pattern, "."]
    code, text = run(command, cwd=folder, DPO_ORT_TEST_DEVICE=DEVICE)
    passed, failed = (len(re.findall(rf"^\s*--- {word}:", text, re.M)) for word in ("PASS", "FAIL"))
    return {"tests": pattern, "passed": passed, "failed": failed, "exit": code, "figures": re.findall(r"^\s+\w+_test\.go:\d+: (.*)$", text, re.M),
            "end": "" if code == 0 else text[-3000:]}


def train(work, model, rows, dtype, prompt, completion, batch, *flags, limit=180):
    """Seconds of our steps and the GPU's memory. The run is stopped once it has taken them: saving is not what is measured."""
    out = pathlib.Path(tempfile.mkdtemp(dir=work)) / "out"
    log = open(work / "train.log", "w")
    process = subprocess.Popen([program(), "train", "--model", model, "--data", rows, "--out", out, "--eos", "keep", "--batch", str(batch), "--optimizer",
                                "adamw", "--max-grad-norm", "1", "--max-length", str(prompt + completion), "--max-prompt-length", str(prompt),
                                "--save-every", "0", "--cache", "none", "--memory", "80%", "--device", DEVICE, "--dtype", dtype, *flags], stdout=log, stderr=log)
    metrics, end = out / "run" / "metrics.jsonl", time.time() + limit
    lines = []
    while len(lines) < WARM_UP + STEPS and process.poll() is None and time.time() < end:
        time.sleep(0.1)
        lines = [line for line in metrics.read_text().splitlines() if "step_seconds" in line] if metrics.exists() else []
    process.send_signal(signal.SIGKILL)
    process.wait()
    steps = [json.loads(line) for line in lines]
    if len(steps) < WARM_UP + STEPS:
        return {"failed": (work / "train.log").read_text()[-2000:]}
    return {"seconds": statistics.median(m["step_seconds"] for m in steps[WARM_UP:]), "bytes": max(m["device_memory_bytes"] for m in steps),
            "losses": [m["loss"] for m in steps]}


def torch(model, rows, *flags):
    """The same of PyTorch's steps."""
    code, text = run([sys.executable, ROOT / "bench" / "peers" / "cuda_step.py", "--model", model, "--pairs", rows, "--batch", BATCH,
                      "--steps", WARM_UP + STEPS, *flags], PYTHONWARNINGS="ignore", HF_HUB_OFFLINE="1")
    if code != 0:
        return {"failed": text[-2000:]}
    done = json.loads(text.splitlines()[-1])
    return {"seconds": statistics.median(done["step_seconds"][WARM_UP:]), "bytes": done["peak"], "losses": done["losses"]}


def score(work, model, rows, pairs):
    """Seconds of a batch of our scoring: those of many rows, less those of few."""
    def seconds(data, out):
        code, text = run([program(), "score", "--model", model, "--data", data, "--out", work / out, "--eos", "keep", "--device", DEVICE, "--dtype", "bfloat16"])
        found = re.search(r"tokens in ([\d.]+)(m?s)", text)
        return float(found[1]) / (1000 if found[2] == "ms" else 1) if code == 0 and found else None

    few = work / "few.jsonl"
    few.write_text("".join(open(rows).readlines()[: 2 * BATCH]))
    long, short = seconds(rows, "all.parquet"), seconds(few, "few.parquet")
    return {"seconds": (long - short) / (pairs / BATCH - 2)} if long and short else {"failed": "score failed"}


def utilisation(config, seconds):
    """Model FLOPs of a step over the peak: 6 per weight and distinct token, and attention over the pairs that its mask allows."""
    weights = sum(make_model.elements(shape) for shape in make_model.tensors(config).values())
    tokens = BATCH * (PROMPT + 2 * (COMPLETION - 1))
    pairs = BATCH * (PROMPT**2 / 2 + 2 * (COMPLETION * PROMPT + COMPLETION**2 / 2))
    attention = 12 * pairs * config["num_hidden_layers"] * config["hidden_size"]
    return (6 * weights * tokens + attention) / seconds / PEAK


def prepared(work, shape):
    """A model of a shape, rows of exact lengths for it, and how many they are."""
    count, model, rows = BATCH * (WARM_UP + STEPS + 3), work / shape, work / f"{shape}.jsonl"
    make_model.write_model(shape, model)
    make_rows.exact(rows, count, PROMPT, COMPLETION, make_model.SHAPES[shape]["vocab_size"])
    return model, rows, count


def speed(work, parts):
    found = {}
    if "speed" in parts or "peers" in parts:
        model, rows, count = prepared(work, "llama-1.1b")
    if "speed" in parts:
        ours = found["1.1B: train, bfloat16"] = train(work, model, rows, "bfloat16", PROMPT, COMPLETION, BATCH)
        if "seconds" in ours:
            ours["mfu"] = utilisation(make_model.SHAPES["llama-1.1b"], ours["seconds"])
        found["1.1B: train, float16"] = train(work, model, rows, "float16", PROMPT, COMPLETION, BATCH)
        found["1.1B: score, bfloat16"] = score(work, model, rows, count)
    if "peers" in parts:
        found["1.1B: PyTorch, float32 weights, bf16 autocast"] = torch(model, rows, "--weights", "float32")
        found["1.1B: PyTorch, bf16 weights"] = torch(model, rows, "--weights", "bfloat16")
        found["1.1B: PyTorch forward, bf16 weights"] = torch(model, rows, "--weights", "bfloat16", "--score")
    if "lora" in parts:
        model, rows, _ = prepared(work, "llama-7b")
        found["7B: train --adapter lora, rank 16, bfloat16"] = train(work, model, rows, "bfloat16", PROMPT, COMPLETION, BATCH, "--adapter", "lora")
    if "offload" in parts:
        model, rows, _ = prepared(work, "llama-7b")
        found["7B: train --offload states, bfloat16"] = train(work, model, rows, "bfloat16", PROMPT, COMPLETION, BATCH, "--offload", "states", limit=400)
    for row in found.values():
        if "seconds" in row:
            row["pairs_per_second"] = BATCH / row["seconds"]
    return found


def main():
    out = pathlib.Path(sys.argv[1]).resolve()
    for library in (ROOT / "build" / "lib" / "cuda").glob("libonnxruntime.so*"):
        os.environ.setdefault("DPO_ORT_LIB", str(library))  # for tests that do not ask for a GPU, too
    began = time.time()
    report = {"gpu": run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])[1].strip(),
              "doctor": run([program(), "doctor", "--device", DEVICE])[1]}
    parts = sys.argv[2:] or ["tests", "speed", "peers", "lora"]
    report["tests"] = [tests("dpo", "CUDA"), tests("runtime/ort", "NothingLeaks")] if "tests" in parts else []
    with tempfile.TemporaryDirectory(dir=out) as work:
        report["speed"] = speed(pathlib.Path(work), parts)
    report["seconds"] = time.time() - began
    (out / "gpu-check.json").write_text(json.dumps(report, indent=1))
    (out / "gpu-check.md").write_text(markdown(report))
    print((out / "gpu-check.md").read_text())
    sys.exit(any(t["exit"] for t in report["tests"]))


def markdown(report):
    lines = [f"# {report['gpu']}", "", "```", report["doctor"].strip(), "```", "", "| tests | passed | failed |", "|---|---|---|"]
    lines += [f"| {t['tests'].replace('|', ', ')} | {t['passed']} | {t['failed']} |" for t in report["tests"]]
    lines += ["", f"Llamas, {BATCH} pairs of {PROMPT}+{COMPLETION} tokens, medians of {STEPS} steps after {WARM_UP}:", "",
              "| work | a step | pairs/s | GPU memory | MFU |", "|---|---|---|---|---|"]
    for name, row in report["speed"].items():
        if "seconds" not in row:
            lines.append(f"| {name} | failed | | | |")
            continue
        memory = f"{row['bytes'] / 1e9:.1f} GB" if "bytes" in row else ""
        lines.append(f"| {name} | {row['seconds'] * 1e3:.0f} ms | {row['pairs_per_second']:.1f} | {memory} | {row['mfu']:.3f} |" if "mfu" in row else
                     f"| {name} | {row['seconds'] * 1e3:.0f} ms | {row['pairs_per_second']:.1f} | {memory} | |")
    lines += ["", *[f"- {figure}" for t in report["tests"] for figure in t["figures"]], "", *[t["end"] for t in report["tests"] if t["end"]],
              *[f"{name}: {row['failed']}" for name, row in report["speed"].items() if "failed" in row], f"All in {report['seconds']:.0f} s."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
