"""Times a training step of dpo-ort beside TRL's on the same machine, the same model and the same pairs.

    python bench/run.py [--shapes 128+128,512+128] [--steps 7] [--rounds 2] [--keep DIR]

A Llama-shaped model of 135M parameters with random weights, four pairs a step, float32, AdamW, the reference precomputed,
no checkpointing in TRL. The two alternate; the first two steps of each run are warm-up and do not count. Prints a Markdown table.
"""
import argparse, json, pathlib, statistics, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = HERE.parent / "bin" / "dpo-ort"
WARMUP = 2


def ours(model, pairs, prompt, completion, steps, out):
    """Seconds of each step after warm-up, and peak memory in bytes, by the program's own metrics."""
    subprocess.run(
        [PROGRAM, "train", "--model", model, "--data", pairs, "--out", out, "--quiet", "--no-shuffle", "--eos", "keep", "--batch", "4",
         "--steps", str(steps), "--optimizer", "adamw", "--max-grad-norm", "1", "--max-length", str(prompt + completion),
         "--max-prompt-length", str(prompt), "--save-every", "0"],
        check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in open(out / "run" / "metrics.jsonl")]
    return [m["step_seconds"] for m in lines[WARMUP:]], lines[-1]["peak_memory_bytes"]


def theirs(model, pairs, prompt, completion, steps):
    """The same of TRL, by trl_step.py in a process of its own."""
    run = subprocess.run([sys.executable, HERE / "trl_step.py", "--model", model, "--pairs", pairs, "--max-length", str(prompt + completion),
                          "--steps", str(steps)], check=True, stdout=subprocess.PIPE)
    result = json.loads(run.stdout.splitlines()[-1])
    return result["step_seconds"][WARMUP:], result["peak_memory_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", default="128+128,512+128")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--keep", help="folder for the model and the runs, instead of a temporary one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(args.keep or temporary)
        print("| prompt+completion | TRL float32 | dpo-ort | faster | memory TRL | memory dpo-ort |\n|---|---|---|---|---|---|", flush=True)
        for shape in args.shapes.split(","):
            prompt, completion = map(int, shape.split("+"))
            place = work / shape
            model, pairs = place / "model", place / "pairs.jsonl"
            subprocess.run([sys.executable, HERE / "make_model.py", "--out", place, "--prompt", str(prompt), "--completion", str(completion)],
                           check=True, stdout=subprocess.DEVNULL)
            a, b, peak_a, peak_b = [], [], 0, 0
            for i in range(args.rounds):
                seconds, peak = theirs(model, pairs, prompt, completion, args.steps)
                a, peak_a = a + seconds, max(peak_a, peak)
                seconds, peak = ours(model, pairs, prompt, completion, args.steps, place / f"run{i}")
                b, peak_b = b + seconds, max(peak_b, peak)
            trl, dpo = statistics.median(a), statistics.median(b)
            print(f"| {shape} | {trl:.1f} s | {dpo:.2f} s | {trl / dpo:.2f}× | {peak_a / 1e9:.1f} GB | {peak_b / 1e9:.1f} GB |", flush=True)


if __name__ == "__main__":
    main()
