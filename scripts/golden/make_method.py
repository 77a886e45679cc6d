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


# A loss takes the log-ratios of policy and reference [G,K], how many tokens they are sums over [G,K], beta and label smoothing.
def lead(x):
    return x[:, 0] - x[:, 1]


def sigmoid(ratios, lengths, beta, smoothing):
    margin = lead(beta * ratios)
    return -(1 - smoothing) * logsigmoid(margin) - smoothing * logsigmoid(-margin)


def plackett_luce(ratios, lengths, beta, smoothing):
    rewards = beta * ratios
    return -sum(rewards[:, k] - rewards[:, k:].logsumexp(1) for k in range(rewards.shape[1]))


def hinge(ratios, lengths, beta, smoothing):
    return torch.relu(1 - lead(beta * ratios))


def ipo(ratios, lengths, beta, smoothing):
    return (lead(ratios) - 1 / (2 * beta)) ** 2


def ipo_mean(ratios, lengths, beta, smoothing):
    return ipo(ratios / lengths, lengths, beta, smoothing)


def robust(ratios, lengths, beta, smoothing):
    margin = lead(beta * ratios)
    return (-(1 - smoothing) * logsigmoid(margin) + smoothing * logsigmoid(-margin)) / (1 - 2 * smoothing)


def nll(policy):
    """Of completions alone: there are no ratios."""
    return -policy.sum(1)


RANKINGS = [(plackett_luce, 2, 0.0), (plackett_luce, 3, 0.0), (plackett_luce, 4, 0.0)]
PAIRS = [(hinge, 2, 0.0), (ipo, 2, 0.0), (ipo_mean, 2, 0.0), (robust, 2, 0.0), (robust, 2, 0.1)]
# Log-ratios of chosen and rejected that are hard, at beta = 1/4, where all numbers are exact: equal, as training begins; at hinge's
# kink; rewards 1e4 apart, the right way and the wrong way.
HARD = [(0, 0), (4, 0), (1, -3), (4e4, 0), (2e4, -2e4), (0, 4e4), (-2e4, 2e4)]


def case(loss, smoothing, beta, policy, reference, lengths):
    policy = torch.tensor(policy, dtype=torch.float64, requires_grad=True)
    reference, counts = torch.tensor(reference, dtype=torch.float64), torch.tensor(lengths, dtype=torch.float64)
    values = loss(policy - reference, counts, beta, smoothing)
    values.mean().backward()
    return {"loss": loss.__name__, "beta": beta, "label_smoothing": smoothing, "policy": policy.tolist(), "reference": reference.tolist(),
            "lengths": lengths, "losses": values.tolist(), "dlogps": policy.grad.tolist()}


def losses(rng):
    cases, count = [], random.Random(3)
    for loss, k, smoothing in [(sigmoid, 2, 0.0), (sigmoid, 2, 0.1), *RANKINGS, *PAIRS]:
        for spread in 5, 500:
            policy, reference = ([[rng.gauss(-100, spread) for _ in range(k)] for _ in range(3)] for _ in range(2))
            cases.append(case(loss, smoothing, 0.1, policy, reference, [[count.randint(1, 50) for _ in range(k)] for _ in range(3)]))
    for loss, _, smoothing in [(sigmoid, 2, 0.0), (sigmoid, 2, 0.1), *PAIRS]:
        for chosen, rejected in HARD:
            cases.append(case(loss, smoothing, 0.25, [[chosen - 64, rejected - 128]], [[-64, -128]], [[3, 7]]))
    for k in 1, 3:
        policy = torch.tensor([[rng.gauss(-100, 5) for _ in range(k)] for _ in range(3)], dtype=torch.float64, requires_grad=True)
        values = nll(policy)
        values.mean().backward()
        cases.append({"loss": "nll", "policy": policy.tolist(), "losses": values.tolist(), "dlogps": policy.grad.tolist()})
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
