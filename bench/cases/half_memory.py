from bench import Skip
from cases import case
from compare import faster, share
import steps

# prompt, completion, share of TRL's peak: how many times as long TRL takes at least.
BARS = {(128, 128, 2): 4, (512, 128, 2): 5, (512, 128, 3): 4}


@case("half-memory", "The same step in a half, and a third, of TRL's memory")
def half_memory(bench):
    if not bench.has_flag("memory"):
        raise Skip("train has no --memory")
    if not bench.python:
        raise Skip("needs TRL's peak: make bench-peers installs it")
    for (prompt, completion, part), bar in bench.some(BARS.items()):
        label = f"{prompt}+{completion}, 1/{part} of TRL's peak"
        if not bench.wants(label):
            continue
        theirs = steps.trl(bench, prompt, completion, "float32")
        budget = theirs.peak // part
        ours = steps.ours(bench, prompt, completion, "--memory", f"{budget / 1e9:.2f}GB")
        yield faster(label, ours.seconds, theirs.seconds, bar, peak=ours.peak, their_peak=theirs.peak)
        yield share(f"{label}: own memory over --memory", ours.anonymous / 1e9, budget / 1e9, "GB", 1,
                    note=f"{label}: anonymous {ours.anonymous / 1e9:.2f} GB, mapped from files {ours.mapped / 1e9:.2f} GB")
