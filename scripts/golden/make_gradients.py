"""Writes log-probabilities and gradients of the tiny models, by transformers and PyTorch, to testdata/golden.

<model>.json: groups of token ids, each a prompt and K completions, and of each completion the log-probabilities of its
tokens from `start` on (`token_logps`) and their sum (`logp`), in float64; the same by plain float32 transformers (`…32`); a
fixed `weight` and a made-up log-probability of a reference (`reference`). batches[i] holds groups of one K.
<model>.weighted.safetensors: gradient of Σ weight·logp over all completions of all batches.
<model>.dpo.safetensors: gradient of the mean DPO loss, −log σ(β·((π_w − ref_w) − (π_l − ref_l))), over the pairs, batches[0]; the loss
itself is in the .json under `dpo`. Tensors are float64 and bear the names of the file; a tied one is there once.
"""
import json
import pathlib
import random
import sys

import torch
from safetensors.torch import save_file
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM

import lifted

BETA = 0.1
GRADIENTS = ["tiny-llama", "tiny-llama-untied", "tiny-llama-rope3", "tiny-llama-linear", "tiny-llama-dynamic", "tiny-mistral",
             "tiny-qwen2", "tiny-qwen3"]
LOGPS_ONLY = ["tiny-llama-bf16", "tiny-llama-f16"]
# Lengths of the prompt and its completions. The third pair shares nothing: a completion's first token is then unscored.
PAIRS = [(7, 9, 4), (19, 3, 12), (0, 6, 8), (3, 1, 2)]
TRIPLES = [(11, 5, 9, 2), (2, 17, 8, 8)]


def draw(rng, vocab, lengths):
    prompt, *completions = lengths
    ids = lambda n: [rng.randrange(3, vocab) for _ in range(n)]
    return {"prompt": ids(prompt), "completions": [
        {"ids": ids(n - 1) + [1], "start": 0 if prompt else 1, "weight": round(rng.uniform(-1, 1), 3)} for n in completions]}


def even(lengths):
    """With completions of one length: under dynamic scaling a prompt is the same in sequences of one length only."""
    prompt, *completions = lengths
    return prompt, *[max(completions)] * len(completions)


def token_logps(model, prompt, completion):
    ids = torch.tensor([prompt + completion["ids"]])
    logps = model(input_ids=ids, use_cache=False).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    return logps[max(len(prompt) + completion["start"] - 1, 0):]


def sequences(batches):
    return [(g["prompt"], c) for b in batches for g in b["groups"] for c in g["completions"]]


def exact(model, prompt, completion):
    lifted.renew_rotary(model)
    with lifted.lifted():
        return token_logps(model, prompt, completion)


def score(directory, batches, rng):
    """Log-probabilities in float64 and float32, and a reference near them. float32 models are loaded for each sequence, for dynamic scaling."""
    model = lifted.load(directory)
    for prompt, c in sequences(batches):
        with torch.no_grad():
            logps = exact(model, prompt, c)
            logps32 = token_logps(AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval(), prompt, c)
        c["token_logps"], c["logp"] = logps.tolist(), logps.sum().item()
        c["token_logps32"], c["logp32"] = logps32.tolist(), logps32.sum().item()
        c["reference"] = round(c["logp"] + rng.gauss(0, 5), 3)
    return model


def gradient(model, loss):
    model.zero_grad(set_to_none=True)
    with lifted.lifted():
        loss.backward()
    return {name: p.grad.contiguous() for name, p in model.named_parameters()}


def weighted(model, batches):
    total = 0
    for prompt, c in sequences(batches):
        total = total + c["weight"] * exact(model, prompt, c).sum()
    return gradient(model, total)


def dpo(model, batch):
    losses, rewards = [], []
    for g in batch["groups"]:
        chosen, rejected = [BETA * (exact(model, g["prompt"], c).sum() - c["reference"]) for c in g["completions"]]
        with lifted.lifted():
            losses.append(-logsigmoid(chosen - rejected))
        rewards.append([chosen.item(), rejected.item()])
    with lifted.lifted():
        loss = torch.stack(losses).mean()
    return {"beta": BETA, "loss": loss.item(), "losses": [l.item() for l in losses], "rewards": rewards}, gradient(model, loss)


def main(models, out):
    out.mkdir(parents=True, exist_ok=True)
    for name in GRADIENTS + LOGPS_ONLY:
        rng = random.Random(name)
        vocab = json.loads((models / name / "config.json").read_text())["vocab_size"]
        shape = even if "dynamic" in name else lambda lengths: lengths
        batches = [{"k": k, "groups": [draw(rng, vocab, shape(lengths)) for lengths in groups]} for k, groups in ((2, PAIRS), (3, TRIPLES))]
        model = score(models / name, batches, rng)
        golden = {"model": name, "batches": batches}
        if name in GRADIENTS:
            save_file(weighted(model, batches), out / f"{name}.weighted.safetensors")
            golden["dpo"], grads = dpo(model, batches[0])
            save_file(grads, out / f"{name}.dpo.safetensors")
        (out / f"{name}.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    testdata = pathlib.Path(sys.argv[1])
    main(testdata / "models", testdata / "golden")
