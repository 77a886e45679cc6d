from bench import middle
from cases import case
from compare import share

EVERY = 50  # steps between checkpoints, of the run that the figure is for


@case("saving", f"Checkpoints: {EVERY} steps of 135M and a checkpoint, over {EVERY} steps")
def saving(bench):
    shape = "llama-tiny" if bench.quick else "llama-135m"
    steps, often, prompt, completion = 9, 2, 64, 64
    rows = bench.exact(shape, 4 * steps, prompt, completion)

    def measured(save_every):
        run, metrics = bench.train(bench.model(shape), rows, "--eos", "keep", "--batch", 4, "--steps", steps, "--optimizer", "rmsprop",
                                   "--max-length", prompt + completion, "--max-prompt-length", prompt, "--save-every", save_every)
        first = next(at for at, line in run.lines if '"Phase":"train"' in line)
        return run.seconds - first, middle([m["step_seconds"] for m in metrics], 1)

    whole, step = measured(0)  # both runs save the last
    saved, _ = measured(often)
    saves = (steps - 1) // often
    cost = (saved - whole) / saves
    yield share(f"{shape}, {prompt}+{completion}", EVERY * step + cost, EVERY * step, "s", 1.05, note=f"a checkpoint costs {cost:.2f} s of a run whose step takes {step:.2f} s")
