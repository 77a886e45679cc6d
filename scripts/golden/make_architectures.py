"""Writes, of each folder of testdata/models that holds a config.json and is not one of make_models.py's, the model that it describes, and what
transformers and PyTorch say of it: testdata/golden/<model>.json and the gradients as make_gradients.py has them, with two keys more.

greedy: prompts and what greedy search puts after them, alone and in float32, with the least distance between the two best logits.
reward: with a head `score` on the backbone, the rewards of groups of token ids, as make_objectives.py has them. Give names to make only these.
"""
import json
import pathlib
import random
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

import lifted
import tokenizer
from make_generate import greedy
from make_gradients import PAIRS, TRIPLES, dpo, draw, even, score, weighted
from make_models import MODELS, SHARDS, TYPES, weights
from make_objectives import head, reward, sequences

TESTDATA = pathlib.Path(__file__).resolve().parent / "../../testdata"
LENGTHS, NEW = [1, 6, 24], 50
SHORT = {"tiny-phi3-long": ([1, 6], 12)}  # within the length at which rotary frequencies change, on both sides of which the groups lie
FILE_NAMES = {"GPTNeoXForCausalLM": {"lm_head.weight": "embed_out.weight"}}  # which transformers calls otherwise once they are read


def renamed(tensors, name):
    names = FILE_NAMES.get(architecture(name), {})
    return {names.get(n, n): t for n, t in tensors.items()}


def architecture(name):
    return json.loads((TESTDATA / "models" / name / "config.json").read_text())["architectures"][0]


def write_model(name):
    directory = TESTDATA / "models" / name
    tokenizer.write(directory, True)
    save_file(renamed(weights(AutoConfig.from_pretrained(directory)), name), directory / "model.safetensors", metadata={"format": "pt"})


def rewards(name):
    directory = TESTDATA / "models" / name
    plain = AutoModelForSequenceClassification.from_pretrained(directory, num_labels=1, dtype=lifted.FLOAT32, attn_implementation="eager").eval()
    with torch.no_grad():
        plain.score.weight.copy_(head(name, plain))
    rng = random.Random(name + " reward")
    groups = [draw(rng, plain.config.vocab_size, lengths) for lengths in PAIRS]
    groups[0]["completions"][0]["ids"] += [plain.config.pad_token_id] * 2  # which transformers looks past
    with torch.no_grad():
        for g, c in sequences(groups):
            c["reward32"] = reward(plain, g, c).item()
    model = plain.double()
    lifted.renew_rotary(model)
    with torch.no_grad(), lifted.lifted():
        for g, c in sequences(groups):
            c["reward"] = reward(model, g, c).item()
    return {"model": name, "score": plain.score.weight.detach().flatten().tolist(), "groups": groups}


def judge(name):
    rng, directory, golden = random.Random(name), TESTDATA / "models" / name, TESTDATA / "golden"
    vocab = AutoConfig.from_pretrained(directory).vocab_size
    shape = even if name in SHORT else lambda lengths: lengths
    batches = [{"k": k, "groups": [draw(rng, vocab, shape(lengths)) for lengths in groups]} for k, groups in ((2, PAIRS), (3, TRIPLES))]
    model = score(directory, batches, rng)
    out = {"model": name, "batches": batches}
    save_file(renamed(weighted(model, batches), name), golden / f"{name}.weighted.safetensors")
    out["dpo"], grads = dpo(model, batches[0])
    save_file(renamed(grads, name), golden / f"{name}.dpo.safetensors")
    out["greedy"] = list(greedy(name, rng, *SHORT.get(name, (LENGTHS, NEW))))
    out["reward"] = rewards(name)
    (golden / f"{name}.json").write_text(json.dumps(out) + "\n")
    print(name, "gap", min(g["gap"] for g in out["greedy"]), "loss", out["dpo"]["loss"])


def main(names):
    others = sorted(p.parent.name for p in (TESTDATA / "models").glob("*/config.json"))
    for name in names or [n for n in others if n not in MODELS and n not in TYPES and n != SHARDS]:
        write_model(name)
        judge(name)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
