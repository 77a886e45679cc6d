"""Writes what PyTorch says of the Plackett-Luce loss to testdata/golden, all in float64:

rankings.json: `cases`, the loss and its gradient by the policy's log-probs, for ties, partial rankings and votes, of 1 to 8 answers;
`model`, the loss over a batch of tiny-llama.json whose answers stand at `places`.
tiny-llama.rankings.safetensors: the gradient of that loss by the model's parameters.
qafeedback.json: of the first rows of qafeedback-human-500x4 and stories260K, which lie in ../shared/data beside the project, the loss of
each and of every parameter's gradient the norm and a projection. Only these numbers are kept.

Ties are averaged over the orders that they leave open, one by one, or dropped: each answer is then compared with those below its place.
"""
import itertools
import json
import pathlib
import random

import torch
from safetensors.torch import save_file
from torch.nn.functional import logsigmoid
from transformers import AutoTokenizer

import lifted
from make_gradients import exact, gradient

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN, SHARED = ROOT / "testdata" / "golden", ROOT.parent / "shared" / "data"
BETA, ROWS = 0.1, 8
STRICT = [list(range(k)) for k in range(1, 9)]
TIED = [[0, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0], [0, 1, 1, 2], [0, 0, 1, 1], [0, 1, 1, 1, 2, 3], [0, 0, 1, 2, 2, 2, 3, 4], [0, 0, 0, 0, 0]]
PARTIAL = [[0, -1], [0, -1, -1], [0, 1, -1, -1], [0, 0, 1, -1, -1], [0, 1, 1, 2, -1, -1, -1, -1]]


def first_choices(rewards, order, ranked):
    """-log of the probability that the first choices are those of the order."""
    return sum(rewards[order[i:]].logsumexp(0) - rewards[order[i]] for i in range(ranked)) + 0 * rewards.sum()


def orders(places):
    """The orders that ties leave open; -1 is below all others, in any order."""
    blocks = [[k for k, p in enumerate(places) if p == place] for place in sorted(set(places) - {-1})]
    unranked = [k for k, p in enumerate(places) if p == -1]
    for parts in itertools.product(*(itertools.permutations(block) for block in blocks)):
        yield [k for part in parts for k in part] + unranked


def average(rewards, places):
    ranked = sum(p >= 0 for p in places)
    losses = [first_choices(rewards, order, ranked) for order in orders(places)]
    return sum(losses) / len(losses)


def drop(rewards, places):
    total = 0 * rewards.sum()
    for k, place in enumerate(places):
        if place >= 0:
            below = [j for j, p in enumerate(places) if p > place or p == -1]
            total = total + rewards[[k, *below]].logsumexp(0) - rewards[k]
    return total


def vote(rewards, dissent):
    lead = rewards[0] - rewards[1]
    return -(1 - dissent) * logsigmoid(lead) - dissent * logsigmoid(-lead)


def case(rng, spread, losses, **what):
    """`losses` has a function of each group's rewards."""
    k = len(what["places"][0]) if "places" in what else 2
    policy, reference = ([[rng.gauss(-100, spread) for _ in range(k)] for _ in losses] for _ in range(2))
    policy = torch.tensor(policy, dtype=torch.float64, requires_grad=True)
    rewards = BETA * (policy - torch.tensor(reference, dtype=torch.float64))
    values = torch.stack([f(r) for f, r in zip(losses, rewards)])
    values.mean().backward()
    return what | {"beta": BETA, "policy": policy.tolist(), "reference": reference, "losses": values.tolist(), "dlogps": policy.grad.tolist()}


def cases():
    rng, out = random.Random(11), []
    for spread in 5, 500, 100_000:
        for places in STRICT + TIED + PARTIAL:
            mates = [p for p in STRICT + TIED + PARTIAL if len(p) == len(places)]
            groups = [places, rng.choice(mates)]  # of one K, with other numbers of choices
            for ties, rule in (("average", average), ("drop", drop)):
                out.append(case(rng, spread, [lambda r, p=p: rule(r, p) for p in groups], places=groups, ties=ties))
        shares = [0.0, 1 / 6, 0.5, 1.0]
        out.append(case(rng, spread, [lambda r, d=d: vote(r, d) for d in shares], dissent=shares))
    return out


def ranked_loss(model, groups):
    """Mean loss of groups with prompt, completions, places and references, and of each."""
    losses = []
    for g in groups:
        logps = [exact(model, g["prompt"], c).sum() for c in g["completions"]]
        with lifted.lifted():
            rewards = BETA * (torch.stack(logps) - torch.tensor(g["references"], dtype=torch.float64))
            losses.append(average(rewards, g["places"]))
    with lifted.lifted():
        return torch.stack(losses).mean(), [l.item() for l in losses]


def tiny_model():
    batch = json.loads((GOLDEN / "tiny-llama.json").read_text())["batches"][1]
    places = [[0, 1, 1], [0, 0, -1]]
    groups = [g | {"places": p, "references": [c["reference"] for c in g["completions"]]} for g, p in zip(batch["groups"], places)]
    model = lifted.load(ROOT / "testdata/models/tiny-llama")
    loss, losses = ranked_loss(model, groups)
    save_file(gradient(model, loss), GOLDEN / "tiny-llama.rankings.safetensors")
    return {"places": places, "beta": BETA, "loss": loss.item(), "losses": losses}


def encode(tokenizer, text, prompt):
    """Token ids, and the first that belongs to what follows the prompt."""
    coded = tokenizer(text, return_offsets_mapping=True)
    start = next(i for i, (_, end) in enumerate(coded["offset_mapping"]) if end > len(prompt))
    return coded["input_ids"] + [tokenizer.eos_token_id], start


def places_of(scores):
    levels = sorted(set(scores), reverse=True)
    return [levels.index(s) for s in scores]


def real_rows():
    directory = SHARED / "models/stories260K-hf"
    tokenizer, model = AutoTokenizer.from_pretrained(directory), lifted.load(directory)
    rng, groups = random.Random(12), []
    with open(SHARED / "pref/qafeedback-human-500x4.ranked.jsonl") as file:
        rows = [json.loads(line) for line in itertools.islice(file, ROWS)]
    for row in rows:
        best_first = sorted(range(len(row["scores"])), key=lambda k: -row["scores"][k])
        completions = []
        for k in best_first:
            ids, start = encode(tokenizer, row["prompt"] + row["responses"][k], row["prompt"])
            completions.append({"ids": ids, "start": start})
        with torch.no_grad():
            references = [round(exact(model, [], c).sum().item() + rng.gauss(0, 20), 2) for c in completions]
        groups.append({"prompt": [], "completions": completions, "places": places_of([row["scores"][k] for k in best_first]), "references": references})
    loss, losses = ranked_loss(model, groups)
    tensors = {}
    for name, g in gradient(model, loss).items():
        flat = g.flatten()
        tensors[name] = [flat.norm().item(), (flat * torch.arange(flat.numel(), dtype=torch.float64).cos()).sum().item()]
    kept = {"beta": BETA, "references": [g["references"] for g in groups], "loss": loss.item(), "losses": losses, "tensors": tensors}
    (GOLDEN / "qafeedback.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    (GOLDEN / "rankings.json").write_text(json.dumps({"cases": cases(), "model": tiny_model()}) + "\n")
    if SHARED.exists():
        real_rows()
