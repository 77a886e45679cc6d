"""Runs TRL's DPOTrainer for 50 steps in float32 and writes what it logged, to testdata/golden/trl/<model>-<optimizer>.json.

Rows are taken in the order of the file, epoch after epoch, at a constant rate; nothing is rounded. stories260K and its pairs lie in
../shared/data beside the project, and only the numbers of its runs are written.
"""
import json
import pathlib
import sys

import torch
from datasets import load_dataset
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
STEPS = 50
OPTIMIZERS = {
    "adamw": lambda parameters, lr: torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0),
    "rmsprop": lambda parameters, lr: torch.optim.RMSprop(parameters, lr=lr),
}
RUNS = {
    "tiny-llama": dict(model=ROOT / "testdata/models/tiny-llama", pairs=ROOT / "testdata/pref/tiny.pairs.jsonl", rows=64, batch=8, beta=0.1,
                       max_grad_norm=1.0, lr={"adamw": 3e-4, "rmsprop": 5e-5}),
    "stories260K": dict(model=SHARED / "models/stories260K-hf", pairs=SHARED / "pref/stories-sentiment-train.pairs.jsonl", rows=400, batch=16,
                        beta=0.5, max_grad_norm=20.0, lr={"adamw": 5e-5, "rmsprop": 1e-5}),
}
KEPT = ["loss", "grad_norm", "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected",
        "num_tokens"]


class InOrder(DPOTrainer):
    def _get_train_sampler(self, dataset=None):
        return SequentialSampler(dataset if dataset is not None else self.train_dataset)


class Log(TrainerCallback):
    def __init__(self):
        self.lines = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.lines.append({name: float(logs[name]) for name in KEPT if name in logs})


def run(name, optimizer):
    r = RUNS[name]
    rows = load_dataset("json", data_files=str(r["pairs"]), split="train").select(range(r["rows"]))
    config = DPOConfig(output_dir="/tmp/trl", per_device_train_batch_size=r["batch"], max_steps=STEPS, learning_rate=r["lr"][optimizer], beta=r["beta"],
                       lr_scheduler_type="constant", max_grad_norm=r["max_grad_norm"], max_length=512, bf16=False, gradient_checkpointing=False,
                       logging_steps=1, report_to=[], save_strategy="no", use_cpu=True, dataloader_pin_memory=False, disable_tqdm=True, seed=0)
    model = AutoModelForCausalLM.from_pretrained(r["model"], dtype=torch.float32)
    log = Log()
    trainer = InOrder(model=model, args=config, train_dataset=rows, processing_class=AutoTokenizer.from_pretrained(r["model"]), callbacks=[log],
                      optimizers=(OPTIMIZERS[optimizer](model.parameters(), r["lr"][optimizer]), None))
    trainer.train()
    clipped = sum(line["grad_norm"] > r["max_grad_norm"] for line in log.lines) / STEPS
    print(f"{name} {optimizer}: loss {log.lines[0]['loss']:.4f} to {log.lines[-1]['loss']:.4f}, {clipped:.0%} of steps clipped")
    settings = {key: r[key] for key in ("rows", "batch", "beta", "max_grad_norm")} | {"lr": r["lr"][optimizer], "max_length": 512}
    out = ROOT / "testdata/golden/trl" / f"{name}-{optimizer}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"settings": settings, "steps": log.lines}, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(2)
    for name in sys.argv[1:] or RUNS:
        for optimizer in OPTIMIZERS:
            run(name, optimizer)
