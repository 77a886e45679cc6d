"""Writes what TRL, transformers and PyTorch say of the objectives beside preferences.

trl/tiny-llama-sft.json, trl/tiny-llama-turns.json and trl/tiny-llama-reward.json: ten steps of SFTTrainer on prompts and chosen answers, of the
same on all of the assistant's turns in conversations (assistant_only_loss), and of RewardTrainer on pairs, in float32, as make_trl.py has them of DPOTrainer. The reward model is tiny-llama's backbone with the head `score`.
reward.json: of one model of each architecture, with a head `score` on its backbone, the rewards of groups of token ids (`rewards`, in float64;
`rewards32` by plain float32 transformers), and of tiny-llama the Bradley-Terry loss, the mean of −log σ(r_w − r_l) over the pairs;
tiny-llama.reward.safetensors is its gradient.
"""
import json
import pathlib
import random
import zlib

import numpy as np
import torch
from datasets import load_dataset
from safetensors.torch import save_file
from torch.nn.functional import logsigmoid
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

import lifted
from make_gradients import PAIRS, draw
from make_trl import Log, OPTIMIZERS, ROOT

MODELS, OUT = ROOT / "testdata/models", ROOT / "testdata/golden"
REWARDED = ["tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-qwen3"]
RUN = dict(optimizer="adamw", rows=64, batch=8, max_grad_norm=1.0, max_length=512)
SFT = RUN | dict(lr=1e-3)
REWARD = RUN | dict(lr=3e-4)
# What ends a turn is learnt, the line break after it is not.
TEMPLATE = "{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content + eos_token }}{% endgeneration %}" \
    "{% else %} {{ m.content }}{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
TURNS = SFT | dict(rows=24, max_length=150, template=TEMPLATE)
STEPS = 10


def head(name, model):
    """A head that is lively, the same whenever it is drawn."""
    draw = np.random.default_rng(zlib.crc32(name.encode())).standard_normal((1, model.config.hidden_size))
    return torch.from_numpy((0.16 * draw).astype(np.float32))


def classifier(name):
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / name, num_labels=1, dtype=lifted.FLOAT32, attn_implementation="eager")
    with torch.no_grad():
        model.score.weight.copy_(head(name, model))
    return model.eval()


def in_order(trainer):
    class InOrder(trainer):
        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(dataset if dataset is not None else self.train_dataset)
    return InOrder


def run(what, trainer, config, r, model, rows, kept, extra):
    args = config(output_dir="/tmp/trl", per_device_train_batch_size=r["batch"], max_steps=STEPS, learning_rate=r["lr"], lr_scheduler_type="constant",
                  max_grad_norm=r["max_grad_norm"], max_length=r["max_length"], bf16=False, gradient_checkpointing=False, logging_steps=1,
                  report_to=[], save_strategy="no", use_cpu=True, dataloader_pin_memory=False, disable_tqdm=True, seed=0)
    log, tokenizer = Log(kept), AutoTokenizer.from_pretrained(MODELS / "tiny-llama")
    if "template" in r:
        args.assistant_only_loss, tokenizer.chat_template = True, r["template"]
    in_order(trainer)(model=model, args=args, train_dataset=rows, processing_class=tokenizer,
                      callbacks=[log], optimizers=(OPTIMIZERS[r["optimizer"]](list(model.named_parameters()), r["lr"]), None)).train()
    print(f"{what}: loss {log.lines[0]['loss']:.4f} to {log.lines[-1]['loss']:.4f}")
    (OUT / "trl" / f"tiny-llama-{what}.json").write_text(json.dumps({"settings": r | extra, "steps": log.lines}, indent=1) + "\n")


def sequences(groups):
    return [(g, c) for g in groups for c in g["completions"]]


def reward(model, g, c):
    return model(input_ids=torch.tensor([g["prompt"] + c["ids"]]), use_cache=False).logits[0, 0]


def rewards(name):
    """Rewards, and of the first model the loss with its gradient."""
    plain = classifier(name)
    vocab = plain.config.vocab_size
    rng = random.Random(name + " reward")
    groups = [draw(rng, vocab, lengths) for lengths in PAIRS]
    groups[0]["completions"][0]["ids"] += [plain.config.pad_token_id] * 2  # which transformers looks past
    with torch.no_grad():
        for g, c in sequences(groups):
            c["reward32"] = reward(plain, g, c).item()
    score = plain.score.weight.detach().flatten().tolist()
    model = plain.double()
    lifted.renew_rotary(model)
    losses = []
    with lifted.lifted():
        for g in groups:
            chosen, rejected = [reward(model, g, c) for c in g["completions"]]
            for c, r in zip(g["completions"], (chosen, rejected)):
                c["reward"] = r.item()
            losses.append(-logsigmoid(chosen - rejected))
        loss = torch.stack(losses).mean()
        loss.backward()
    if name == REWARDED[0]:
        save_file({n: p.grad.contiguous() for n, p in model.named_parameters()}, OUT / f"{name}.reward.safetensors")
    return {"model": name, "score": score, "groups": groups, "loss": loss.item()}


def main():
    pairs = load_dataset("json", data_files=str(ROOT / "testdata/pref/tiny.pairs.jsonl"), split="train")
    chosen = pairs.rename_column("chosen", "completion").remove_columns("rejected")
    run("sft", SFTTrainer, SFTConfig, SFT, AutoModelForCausalLM.from_pretrained(MODELS / "tiny-llama", dtype=torch.float32), chosen,
        ["loss", "grad_norm", "num_tokens"], {})
    talks = load_dataset("json", data_files=str(ROOT / "testdata/pref/tiny.talks.jsonl"), split="train")
    run("turns", SFTTrainer, SFTConfig, TURNS, AutoModelForCausalLM.from_pretrained(MODELS / "tiny-llama", dtype=torch.float32), talks,
        ["loss", "grad_norm", "num_tokens"], {})
    model = classifier("tiny-llama").train()
    run("reward", RewardTrainer, RewardConfig, REWARD, model, pairs, ["loss", "grad_norm", "num_tokens", "accuracy", "margin", "mean_reward"],
        {"score": head("tiny-llama", model).flatten().tolist()})
    (OUT / "reward.json").write_text(json.dumps([rewards(name) for name in REWARDED], indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
