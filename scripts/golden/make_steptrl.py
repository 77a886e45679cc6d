"""Runs ten steps of TRL's DPOTrainer and KTOTrainer in float32 with what looks at whole steps or at the data once more, as make_trl.py has it of
the plain losses: testdata/golden/trl/steps/<what>.json. Give names of runs to make only these.

Each loss of UNPAIRED, those of KTOTrainer, has two runs. The rows of the one are those of the pairs in turn: the chosen answer of the first, labelled true,
the rejected one of the second, labelled false; of the other, <loss>-pairs, the pairs themselves, which KTOTrainer takes apart.
"""
import json
import sys

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from make_trl import KEPT, ROOT, TINY, first_rows, load, train

STEPS = 10
BASE = TINY | dict(optimizer="adamw", lr=3e-4, steps=STEPS)
SYNC = dict(sync_ref_model=True, ref_model_sync_steps=3)
UNPAIRED = ["kto", "apo_zero_unpaired"]  # losses of single answers, of which make_steplosses.py has the numbers, too
RUNS = {
    "aot": dict(loss_type=["aot"]),
    "aot_unpaired": dict(loss_type=["aot_unpaired"], label_smoothing=0.1),
    "bco_pair": dict(loss_type=["bco_pair"]),
    "ld": dict(ld_alpha=0.3),
    "wpo": dict(use_weighting=True),
    "tr-soft": SYNC | dict(ref_model_mixup_alpha=0.4),
    "tr-hard": SYNC | dict(ref_model_mixup_alpha=1.0),
}
for loss in UNPAIRED:
    RUNS |= {loss: dict(loss_type=loss, desirable_weight=1.5, undesirable_weight=0.75), f"{loss}-pairs": dict(loss_type=loss)}


def taken_in_turn(rows):
    return Dataset.from_list([{"prompt": x["prompt"], "completion": x["rejected" if i % 2 else "chosen"], "label": i % 2 == 0} for i, x in enumerate(rows)])


def run(name):
    r, settings, singles = BASE, RUNS[name], name in UNPAIRED
    unpaired = settings.get("loss_type") in UNPAIRED
    if unpaired and not singles:
        r = r | dict(rows=12)
    rows = first_rows(r["pairs"], r["rows"])
    if singles:
        rows = taken_in_turn(rows)
    config, trainer = (KTOConfig, KTOTrainer) if unpaired else (DPOConfig, DPOTrainer)
    steps = train(trainer, config, r["model"], load(r["model"]), rows, KEPT + ["kl"], r["optimizer"], load(r["model"]), per_device_train_batch_size=r["batch"],
                  max_steps=STEPS, learning_rate=r["lr"], beta=r["beta"], max_grad_norm=r["max_grad_norm"], **settings)
    if not any(line.get("kl") for line in steps):  # KTOTrainer logs 0 for a loss without an estimate
        for line in steps:
            line.pop("kl", None)
    print(f"{name}: loss {steps[0]['loss']:.4f} to {steps[-1]['loss']:.4f}")
    kept = {key: r[key] for key in ["optimizer", "rows", "batch", "beta", "max_grad_norm", "lr"]} | {"max_length": 512} | settings
    kept["loss_type"] = settings["loss_type"] if unpaired else settings.get("loss_type", ["sigmoid"])[0]
    kept |= {"singles": True} if singles else {}
    (ROOT / "testdata/golden/trl/steps" / f"{name}.json").write_text(json.dumps({"settings": kept, "steps": steps}, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(2)
    for name in sys.argv[1:] or RUNS:
        run(name)
