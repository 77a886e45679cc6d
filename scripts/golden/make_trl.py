"""Runs TRL's DPOTrainer in float32 and writes what it logged, to testdata/golden/trl/<model>-<what>.json: 50 steps of the
sigmoid loss with each optimizer, and 10 of other losses, under TRL's names, with AdamW.

Runs with an adapter train one of testdata/adapters, and runs with lora a new one, with the elements that models.WriteAdapter draws from seed 0. Rows are taken in the order of the file, epoch after epoch, at a constant rate; nothing is rounded. stories260K and its pairs lie in
../shared/data beside the project, and only the numbers of its runs are written. Give names of runs to make only these.
"""
import json
import math
import pathlib
import sys
import tempfile

import torch
from datasets import load_dataset
from lion_pytorch import Lion
from peft import LoraConfig, PeftModel, get_peft_model
from torch.optim import _muon
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from transformers.optimization import Adafactor
from trl import DPOConfig, DPOTrainer

from draws import PCG
from make_exported import ort_tiny
from make_optim import newton_schulz

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"


class Both(torch.optim.Optimizer):
    """Two optimizers as one, for the trainer."""

    def __init__(self, *of):
        super().__init__([p for o in of for group in o.param_groups for p in group["params"]], {})
        self.of, self.param_groups = of, [group for o in of for group in o.param_groups]

    def step(self, closure=None):
        for o in self.of:
            o.step()


def muon(parameters, lr):
    """PyTorch's Muon, whose iteration computes in float32 here, over the matrices of layers; AdamW over the others."""
    _muon._zeropower_via_newtonschulz = newton_schulz
    hidden, others = [], []
    for name, p in parameters:
        (hidden if p.ndim == 2 and ".layers." in name else others).append(p)
    return Both(torch.optim.Muon(hidden, lr=lr, weight_decay=0.0), torch.optim.AdamW(others, lr=lr, weight_decay=0.0))


def plain(make):
    return lambda parameters, lr: make([p for _, p in parameters], lr)


# Each takes named parameters.
OPTIMIZERS = {
    "adamw": plain(lambda parameters, lr: torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0)),
    "rmsprop": plain(lambda parameters, lr: torch.optim.RMSprop(parameters, lr=lr)),
    "sgd": plain(lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9)),
    "adafactor": plain(lambda parameters, lr: Adafactor(parameters, lr=lr, scale_parameter=False, relative_step=False)),
    "muon": muon,
    "lion": plain(lambda parameters, lr: Lion(parameters, lr=lr)),
}
SIGMOID = dict(loss_type="sigmoid", label_smoothing=0.0, steps=50)
TINY = SIGMOID | dict(model=ROOT / "testdata/models/tiny-llama", pairs=ROOT / "testdata/pref/tiny.pairs.jsonl", rows=64, batch=8, beta=0.1,
                      max_grad_norm=1.0)
STORIES = SIGMOID | dict(model=SHARED / "models/stories260K-hf", pairs=SHARED / "pref/stories-sentiment-train.pairs.jsonl", rows=400, batch=16,
                         beta=0.5, max_grad_norm=20.0)
RUNS = {
    "tiny-llama-adamw": TINY | dict(optimizer="adamw", lr=3e-4),
    "tiny-llama-rmsprop": TINY | dict(optimizer="rmsprop", lr=5e-5),
    # The trainer's own optimizer and schedule: its groups of parameters with weight decay and without.
    "tiny-llama-decay": TINY | dict(optimizer="adamw", lr=3e-3, steps=10, weight_decay=5.0, schedule="cosine_with_min_lr", schedule_settings={"min_lr_rate": 0.2},
                                    warmup=2),
    "tiny-llama-sgd": TINY | dict(optimizer="sgd", lr=1e-2, steps=10),
    "tiny-llama-adafactor": TINY | dict(optimizer="adafactor", lr=1e-3, steps=10),
    "tiny-llama-muon": TINY | dict(optimizer="muon", lr=1e-3, steps=10),
    "tiny-llama-lion": TINY | dict(optimizer="lion", lr=3e-4, steps=10),
    "tiny-llama-hinge": TINY | dict(optimizer="adamw", lr=3e-4, loss_type="hinge", steps=10),
    "tiny-llama-ipo": TINY | dict(optimizer="adamw", lr=1e-3, loss_type="ipo", steps=10),
    "tiny-llama-robust": TINY | dict(optimizer="adamw", lr=3e-4, loss_type="robust", label_smoothing=0.1, steps=10),
    "stories260K-adamw": STORIES | dict(optimizer="adamw", lr=5e-5),
    "tiny-llama-lora": TINY | dict(optimizer="adamw", lr=1e-2, adapter="tiny-llama-sft", steps=10),
    "tiny-qwen3-dora": TINY | dict(optimizer="adamw", lr=1e-2, model=ROOT / "testdata/models/tiny-qwen3", adapter="tiny-qwen3-sft-dora", steps=10),
    "tiny-gpt2": TINY | dict(optimizer="adamw", lr=3e-3, model=ROOT / "testdata/models/tiny-gpt2", steps=10),
    "ort-tiny": TINY | dict(optimizer="adamw", lr=1e-3, model=ort_tiny, steps=10),
    "stories260K-rmsprop": STORIES | dict(optimizer="rmsprop", lr=1e-5),
    "stories260K-lora-qv": STORIES | dict(optimizer="adamw", lr=4e-4, lora=["q_proj", "v_proj"], rank=16, alpha=32, rows=32, max_grad_norm=10.0, steps=10),
    "stories260K-lora": STORIES | dict(optimizer="adamw", lr=1e-4, lora="all-linear", rank=16, alpha=32, rows=32, steps=10),
}
SETTINGS = ["weight_decay", "schedule", "schedule_settings", "warmup", "optimizer", "loss_type", "label_smoothing", "rows", "batch", "beta", "max_grad_norm", "lr"]
KEPT = ["loss", "grad_norm", "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected",
        "num_tokens"]


class Log(TrainerCallback):
    def __init__(self, kept=KEPT):
        self.kept, self.lines = kept, []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.lines.append({name: float(logs[name]) for name in self.kept if name in logs})


def load(directory):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)


def first_rows(pairs, n):
    return load_dataset("json", data_files=str(pairs), split="train").select(range(n))


def train(trainer, config, directory, model, rows, kept=KEPT, optimizer=None, ref_model=None, **settings):
    """What a trainer logs of each step over the rows in their order, by one of OPTIMIZERS, or its own. Settings are those of the config."""
    class InOrder(trainer):
        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(dataset if dataset is not None else self.train_dataset)

    args = config(output_dir="/tmp/trl", **{"lr_scheduler_type": "constant", "max_length": 512} | settings, bf16=False, gradient_checkpointing=False, logging_steps=1,
                  report_to=[], save_strategy="no", use_cpu=True, dataloader_pin_memory=False, disable_tqdm=True, seed=0)
    parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    log, reference = Log(kept), {} if ref_model is None else {"ref_model": ref_model}
    InOrder(model=model, args=args, train_dataset=rows, processing_class=AutoTokenizer.from_pretrained(directory), callbacks=[log],
            optimizers=(OPTIMIZERS[optimizer](parameters, args.learning_rate) if optimizer else None, None), **reference).train()
    return log.lines


def new_adapter(model, r):
    """The model with a new adapter, whose A are uniform within ±1/√in and whose B are zero."""
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=r["rank"], lora_alpha=r["alpha"], target_modules=r["lora"]))
    draws, parameters = PCG(0, 3), dict(model.named_parameters())
    with torch.no_grad():
        for name in sorted(name for name in parameters if ".lora_A." in name):
            a = parameters[name]
            values = [(2 * draws.uniform() - 1) * (1 / math.sqrt(a.shape[1])) for _ in range(a.numel())]
            a.copy_(torch.tensor(values, dtype=torch.float64).reshape(a.shape))
    return model


def run(name):
    r = RUNS[name]
    if callable(r["model"]):
        r = r | {"model": r["model"](pathlib.Path(tempfile.mkdtemp()))}
    model = load(r["model"])
    if "lora" in r:
        model = new_adapter(model, r)
    if "adapter" in r:  # TRL's reference is then a copy of it
        model = PeftModel.from_pretrained(model, ROOT / "testdata/adapters" / r["adapter"], is_trainable=True)
    steps = train(DPOTrainer, DPOConfig, r["model"], model, first_rows(r["pairs"], r["rows"]), optimizer=None if "weight_decay" in r else r["optimizer"],
                  per_device_train_batch_size=r["batch"], max_steps=r["steps"], learning_rate=r["lr"], beta=r["beta"], loss_type=[r["loss_type"]],
                  label_smoothing=r["label_smoothing"], max_grad_norm=r["max_grad_norm"], lr_scheduler_type=r.get("schedule", "constant"),
                  lr_scheduler_kwargs=r.get("schedule_settings", {}), warmup_steps=r.get("warmup", 0), weight_decay=r.get("weight_decay", 0.0), optim="adamw_torch")
    clipped = sum(line["grad_norm"] > r["max_grad_norm"] for line in steps) / r["steps"]
    print(f"{name}: loss {steps[0]['loss']:.4f} to {steps[-1]['loss']:.4f}, {clipped:.0%} of steps clipped")
    out = ROOT / "testdata/golden/trl" / f"{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"settings": {key: r[key] for key in SETTINGS + ["adapter", "lora", "rank", "alpha"] if key in r} | {"max_length": 512}, "steps": steps}, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(2)
    for name in sys.argv[1:] or RUNS:
        run(name)
