from bench import Skip, middle
from cases import case
from compare import share

PAIRS, MICRO = 64, 8
LENGTHS = {"llama-tiny": (64, 64), "llama-135m": (32, 32)}


@case("micro", "64 pairs in 8 micro-batches of 8, beside 8 · (a step of 8 − its optimizer) + one optimizer")
def micro(bench):
    for shape, (prompt, completion) in bench.some(LENGTHS.items()):
        steps, warm_up = (2, 1) if bench.quick else (7, 2)
        rows = bench.exact(shape, PAIRS * steps, prompt, completion)

        def measured(batch):
            _, metrics = bench.train(bench.model(shape), rows, "--eos", "keep", "--batch", batch, "--micro-batch", MICRO, "--steps", steps,
                                     "--optimizer", "adamw", "--max-length", prompt + completion, "--max-prompt-length", prompt)
            if "optimizer_seconds" not in metrics[0]:
                raise Skip("metrics.jsonl has no optimizer_seconds")
            return (middle([m[name] for m in metrics], warm_up) for name in ("step_seconds", "optimizer_seconds"))

        step, optimizer = measured(MICRO)
        whole, _ = measured(PAIRS)
        parts = PAIRS // MICRO
        yield share(f"{shape}, {prompt}+{completion}", whole, parts * (step - optimizer) + optimizer, "s", 1.03)
