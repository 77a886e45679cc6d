"""Prints the scalars that TensorBoard's own reader finds in a folder, as JSON: {tag: [[step, value], …]}."""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

if __name__ == "__main__":
    found = EventAccumulator(sys.argv[1], size_guidance={SCALARS: 0}).Reload()
    print(json.dumps({tag: [[e.step, e.value] for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}))
