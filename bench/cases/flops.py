from cases import case
from compare import Row
from make_model import SHAPES
import steps

LENGTHS = (128, 128), (512, 128)


def step_flops(config, pairs, prompt, completion):
    """Floating-point operations of the model in a step over pairs of those lengths, prompts counted once: forward 2, backward 4

        6 · weights of the blocks' products · T         T = pairs · (P + 2·(C−1)) distinct positions; an answer's last token has none
      + 6 · hidden · vocabulary · R                     R = pairs · 2·C scored rows
      + 12 · layers · heads · head_dim · A              A = pairs · (P·(P+1)/2 + 2·((C−1)·P + (C−1)·C/2)) allowed pairs of query and key:
                                                        scores and values, 2 operations each forward, twice that backward
    """
    hidden, inner, head, layers = config["hidden_size"], config["intermediate_size"], config["head_dim"], config["num_hidden_layers"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    weights = layers * (2 * hidden * queries + 2 * hidden * keys + 3 * hidden * inner)
    rows = completion - 1
    positions, scored = pairs * (prompt + 2 * rows), pairs * 2 * completion
    allowed = pairs * (prompt * (prompt + 1) // 2 + 2 * (rows * prompt + rows * completion // 2))
    return 6 * weights * positions + 6 * hidden * config["vocab_size"] * scored + 12 * layers * queries * allowed


@case("flops", "Model FLOPs of the whole step, optimizer's time included, over the best matrix product of the same run")
def flops(bench):
    products, ours = [product(bench)], {}
    for lengths in bench.some(LENGTHS):
        ours[lengths] = steps.ours(bench, *lengths).seconds
        products.append(product(bench))
    best, peak = max(products, key=lambda found: found[1])
    for (prompt, completion), seconds in ours.items():
        reached = step_flops(SHAPES[steps.SHAPE], steps.PAIRS, prompt, completion) / seconds / 1e9
        yield Row(f"{prompt}+{completion}, of the best product", reached, peak, "GFLOP/s", reached / peak, 0.70, note=f"best product: {best}")


def product(bench):
    """The best matrix product just now: (its name, GFLOP/s)."""
    found = bench.go("runtime/ort", "BenchmarkGemm", times="0.2s" if bench.quick else "1s")
    return max(((name.split("/")[1].rsplit("-", 1)[0], metrics["GFLOP/s"]) for name, metrics in found), key=lambda found: found[1])
