"""LoRA of rank 16 in all products: the step of the 135M shape beside TRL with PEFT, and the memory of the 1.1B shape, whose file takes 4.4 GB."""
import subprocess

from bench import size
from cases import case
from compare import faster, share
import steps

FLAGS = ("--adapter", "lora", "--lora-rank", "16")
PAIRS, PROMPT, COMPLETION, LIMIT = 4, 512, 128, 8 * 2**30


@case("lora", "A step of LoRA of rank 16 on a 135M Llama, four pairs, beside TRL with PEFT; and the memory of LoRA on a Llama of 1.1B parameters")
def lora(bench):
    label = f"{PROMPT}+{COMPLETION}"
    theirs, ours = steps.trl(bench, PROMPT, COMPLETION, "float32", "--lora-rank", 16), steps.ours(bench, PROMPT, COMPLETION, *FLAGS)
    yield faster(label, ours.seconds, theirs and theirs.seconds, 4, peak=ours.peak, their_peak=theirs and theirs.peak)
    if theirs:
        yield share(f"{label}: peak of TRL's", ours.peak / 1e9, theirs.peak / 1e9, "GB", 0.5,
                    note=f"{label}: anonymous {size(ours.anonymous)}, mapped from files {size(ours.mapped)}")
    if bench.round == 0 and bench.wants("1.1B"):  # that it fits is shown once
        yield large(bench)


def large(bench):
    shape = "llama-1.1b-cut" if bench.quick else "llama-1.1b"
    rows, model = bench.exact(shape, 2 * PAIRS, PROMPT, COMPLETION), bench.model(shape)
    try:
        run, _ = bench.train(model, rows, "--eos", "keep", "--batch", PAIRS, "--steps", 2, "--optimizer", "adamw", "--max-length", PROMPT + COMPLETION,
                             "--max-prompt-length", PROMPT, "--memory", "7.5GiB", *FLAGS)
    finally:
        subprocess.run(["rm", "-rf", model], check=True)
    return share(f"1.1B, {PROMPT}+{COMPLETION}: peak of 8 GiB", run.peak / 1e9, LIMIT / 1e9, "GB", 1, peak=run.peak,
                 note=f"1.1B: anonymous {size(run.anonymous)}, mapped from files {size(run.mapped)}")
