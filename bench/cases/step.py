from cases import case
from compare import faster
import steps

# prompt, completion: how many times as long TRL takes at least, by its precision.
BARS = {(128, 128): {"float32": 4.5, "bf16": 2.7}, (512, 128): {"float32": 5.5, "bf16": 3.8}}


@case("step", "A whole step of a 135M Llama, four pairs, beside TRL's")
def step(bench):
    for (prompt, completion), bars in bench.some(BARS.items()):
        for precision, bar in bars.items():
            label = f"{prompt}+{completion}, TRL {precision}"
            if not bench.wants(label):
                continue
            theirs, ours = steps.trl(bench, prompt, completion, precision), steps.ours(bench, prompt, completion)
            yield faster(label, ours.seconds, theirs and theirs.seconds, bar, peak=ours.peak, their_peak=theirs and theirs.peak)
