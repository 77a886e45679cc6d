"""A whole step of the 135M shape, ours and TRL's: four pairs of exact lengths, AdamW, the reference known before, nothing checkpointed.
Several cases look at the same steps, so each runs once a round."""
import dataclasses

from bench import middle

SHAPE = "llama-135m"
PAIRS = 4


@dataclasses.dataclass
class Steps:
    seconds: float  # of a step, the median after warm-up
    peak: int
    anonymous: int
    mapped: int


def counts(bench):
    """(steps, of them warm-up)."""
    return (3, 1) if bench.quick else (7, 2)


def rows(bench, prompt, completion):
    return bench.exact(SHAPE, PAIRS * counts(bench)[0], prompt, completion)


def ours(bench, prompt, completion, *flags):
    """Our steps, with flags beside those that say what is computed."""
    steps, warm_up = counts(bench)

    def run():
        run, metrics = bench.train(
            bench.model(SHAPE), rows(bench, prompt, completion), "--eos", "keep", "--batch", PAIRS, "--steps", steps, "--optimizer", "adamw",
            "--max-grad-norm", "1", "--max-length", prompt + completion, "--max-prompt-length", prompt, *flags)
        return Steps(middle([m["step_seconds"] for m in metrics], warm_up), run.peak, run.anonymous, run.mapped)

    return bench.once(("ours", prompt, completion, flags), run)


def trl(bench, prompt, completion, precision, *flags):
    """TRL's steps, in float32 or bf16 autocast, with flags of trl_step.py; None without the peers."""
    steps, warm_up = counts(bench)

    def run():
        done = bench.peer("trl_step.py", "--model", bench.model(SHAPE), "--pairs", rows(bench, prompt, completion), "--batch", PAIRS, "--steps", steps,
                          "--max-length", prompt + completion, "--precision", precision, *flags)
        return done and Steps(middle(done[1]["step_seconds"], warm_up), done[0].peak, done[0].anonymous, done[0].mapped)

    return bench.once(("trl", prompt, completion, precision, flags), run)
