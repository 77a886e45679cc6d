"""Writes what PyTorch says of the losses to testdata/golden/loss.json: each loss and its gradient by the policy's log-probs, in float64."""
import json
import pathlib
import random

import torch
from torch.nn.functional import logsigmoid

OUT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "golden"


def write(name, value):
    (OUT / name).write_text(json.dumps(value, indent=1) + "\n")


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


if __name__ == "__main__":
    losses(random.Random(2))
