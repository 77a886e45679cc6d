"""Writes what PyTorch and transformers say of the method's small parts to testdata/golden: optim.json (five steps of each
optimizer), loss.json (each loss and its gradient by the policy's log-probs), schedule.json. All in float64."""
import json
import pathlib
import random

import torch
from torch.nn.functional import logsigmoid
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

OUT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "golden"
LR, WARMUP, TOTAL = 0.01, 5, 20


def write(name, value):
    (OUT / name).write_text(json.dumps(value, indent=1) + "\n")


def optimizers(rng):
    start, gradients = [rng.gauss(0, 1) for _ in range(8)], [[rng.gauss(0, 1) for _ in range(8)] for _ in range(5)]
    made = {"adamw": lambda p, decay: torch.optim.AdamW(p, lr=LR, weight_decay=decay),
            "rmsprop": lambda p, decay: torch.optim.RMSprop(p, lr=LR, weight_decay=decay),
            "sgd": lambda p, decay: torch.optim.SGD(p, lr=LR, momentum=0.9, weight_decay=decay)}
    cases = []
    for name, make in made.items():
        for decay in 0.0, 0.1:
            p = torch.tensor(start, dtype=torch.float64, requires_grad=True)
            optimizer, steps = make([p], decay), []
            for g in gradients:
                p.grad = torch.tensor(g, dtype=torch.float64)
                optimizer.step()
                steps.append(p.tolist())
            cases.append({"optimizer": name, "weight_decay": decay, "steps": steps})
    write("optim.json", {"lr": LR, "start": start, "gradients": gradients, "cases": cases})


def sigmoid(rewards, smoothing):
    margin = rewards[:, 0] - rewards[:, 1]
    return -(1 - smoothing) * logsigmoid(margin) - smoothing * logsigmoid(-margin)


def plackett_luce(rewards, _):
    return -sum(rewards[:, k] - rewards[:, k:].logsumexp(1) for k in range(rewards.shape[1]))


def losses(rng):
    cases = []
    for name, loss, k, smoothing in [("sigmoid", sigmoid, 2, 0.0), ("sigmoid", sigmoid, 2, 0.1), ("plackett_luce", plackett_luce, 2, 0.0),
                                     ("plackett_luce", plackett_luce, 3, 0.0), ("plackett_luce", plackett_luce, 4, 0.0)]:
        for spread in 5, 500:
            policy = torch.tensor([[rng.gauss(-100, spread) for _ in range(k)] for _ in range(3)], dtype=torch.float64, requires_grad=True)
            reference = torch.tensor([[rng.gauss(-100, spread) for _ in range(k)] for _ in range(3)], dtype=torch.float64)
            values = loss(0.1 * (policy - reference), smoothing)
            values.mean().backward()
            cases.append({"loss": name, "beta": 0.1, "label_smoothing": smoothing, "policy": policy.tolist(), "reference": reference.tolist(),
                          "losses": values.tolist(), "dlogps": policy.grad.tolist()})
    write("loss.json", cases)


def schedules():
    def rates(make):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedule, out = make(optimizer), []
        for _ in range(TOTAL):
            out.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        return out

    write("schedule.json", {"warmup": WARMUP, "total": TOTAL,
                            "constant": rates(lambda o: get_constant_schedule_with_warmup(o, WARMUP)),
                            "linear": rates(lambda o: get_linear_schedule_with_warmup(o, WARMUP, TOTAL)),
                            "cosine": rates(lambda o: get_cosine_schedule_with_warmup(o, WARMUP, TOTAL))})


if __name__ == "__main__":
    optimizers(random.Random(1))
    losses(random.Random(2))
    schedules()
