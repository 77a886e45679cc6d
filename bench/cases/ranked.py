from cases import case
from compare import share


@case("ranked", "Four answers of 512+128 tokens to one prompt, forward and backward, beside the same as separate sequences")
def ranked(bench):
    flags = ["-layers", "3", "-vocabulary", "4096"] if bench.quick else []
    [(_, metrics)] = bench.go("dpo", "BenchmarkSharedPrompt", *flags, times="2x" if bench.quick else "5x")
    yield share("shared over separate", metrics["shared-s"], metrics["separate-s"], "s", 0.5)
