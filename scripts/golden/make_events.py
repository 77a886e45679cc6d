"""Writes what TensorBoard's own messages and record writer make of a few scalars to testdata/golden: events.json (the scalars,
their steps and wall times) and events.tfevents (the file)."""
import json
import pathlib

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

OUT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "golden"
LINES = [
    {"wall_time": 1700000000.125, "step": 0, "scalars": {"eval_loss": 0.6931471805599453, "eval_rewards/accuracies": 0.0}},
    {"wall_time": 1700000001.5, "step": 1, "scalars": {"epoch": 0.015625, "grad_norm": 3.25, "loss": 0.6931471805599453, "num_tokens": 56012.0,
                                                       "rewards/chosen": -0.0, "rewards/margins": -1e-30}},
    {"wall_time": 1700000002.75, "step": 300, "scalars": {"loss": 0.1, "num_tokens": 123456789.0}},
    {"wall_time": 1700000004.0, "step": 70000, "scalars": {"loss": 3.4e38}},
]


def main():
    events = [Event(wall_time=LINES[0]["wall_time"], file_version="brain.Event:2")]
    for line in LINES:
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in sorted(line["scalars"].items())]
        events.append(Event(wall_time=line["wall_time"], step=line["step"], summary=Summary(value=values)))
    with open(OUT / "events.tfevents", "wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())
        writer.flush()
    (OUT / "events.json").write_text(json.dumps(LINES, indent=1) + "\n")


if __name__ == "__main__":
    main()
