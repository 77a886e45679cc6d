"""Writes the losses of whole steps, and their gradients by the policy's log-probs, to testdata/golden/steplosses.json, in float64; and to
steplosses.tokens.json TRL's loss with ld_alpha and use_weighting, and its gradient by the log-probs of single tokens.

aot, aot_unpaired, bco_pair_unshifted (TRL's bco_pair) and those of single answers are computed by TRL's trainers themselves, whose loss is run on given
log-probs in place of a model's; bco_pair and beta_dpo, which TRL has not, by their formulas. A case is a run of steps, since some losses carry
numbers from one to the next.
"""
import json
import pathlib
import random
from collections import defaultdict
from types import SimpleNamespace

import torch
from torch.nn.functional import logsigmoid
from trl import DPOTrainer, KTOTrainer

from make_steptrl import UNPAIRED

OUT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "golden"
torch.set_default_dtype(torch.float64)


class Model(torch.nn.Module):
    is_gradient_checkpointing = False


class Trainer(SimpleNamespace):
    """What the trainers' losses ask of the trainer that they are methods of."""

    def __init__(self, **settings):
        same = SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x, unwrap_model=lambda m: m)
        super().__init__(model=Model(), accelerator=same, aux_loss_enabled=False, precompute_ref_logps=True,
                         f_divergence_type="reverse_kl", use_weighting=False, ld_alpha=None, label_smoothing=0.0, _metrics={"train": defaultdict(list)},
                         _total_train_tokens=0, _tp_size=1, args=SimpleNamespace(gradient_checkpointing_kwargs=None), **settings)


def outputs(per_token):
    zeros = torch.zeros_like(per_token)
    return SimpleNamespace(log_probs=per_token, log_sum_sq_probs=zeros, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())


def said(logps):
    """A model that gives these log-probs, each of one token after a prompt of one."""
    return lambda **_: outputs(logps.reshape(-1, 1))


def tokens(n):
    ids = torch.ones(n, 2, dtype=torch.long)
    return {"input_ids": ids, "attention_mask": ids, "completion_mask": torch.tensor([[0, 1]] * n)}


def trl_pairs(loss_type):
    def loss(step, policy, reference, carried):
        trainer = Trainer(loss_types=[loss_type], loss_weights=[1.0], beta=step["beta"])
        trainer.label_smoothing = step.get("label_smoothing", 0.0)
        inputs = tokens(2 * len(policy)) | {"ref_chosen_logps": reference[:, 0], "ref_rejected_logps": reference[:, 1]}
        return DPOTrainer._compute_loss(trainer, said(policy.T), inputs, False)
    return loss


def trl_singles(loss_type):
    def loss(step, policy, reference, carried):
        settings = step["settings"]
        trainer = Trainer(loss_type=loss_type, calculate_KL=loss_type == "kto", beta=step["beta"], desirable_weight=settings.get("desirable_weight", 1.0),
                          undesirable_weight=settings.get("undesirable_weight", 1.0))
        drift = torch.tensor(step["drift"])
        trainer._compute_kl_logps = lambda model, batch: drift
        inputs = tokens(len(policy)) | {"label": torch.tensor(step["label"]) == 1, "ref_logps": reference[:, 0], "ref_KL_logps": torch.zeros_like(drift)}
        return KTOTrainer._compute_loss(trainer, said(policy[:, 0]), inputs, False)
    return loss


def bco_pair(step, policy, reference, carried):
    rewards = step["beta"] * (policy - reference)
    n = carried.get("steps", 0) + 1
    shift = (carried.get("mean", 0) * (n - 1) + rewards.detach().mean().item()) / n
    carried.update(mean=shift, steps=n)
    return (-logsigmoid(rewards[:, 0] - shift) - logsigmoid(shift - rewards[:, 1])).mean()


def beta_dpo(step, policy, reference, carried):
    ratios = policy - reference
    h = ratios[:, 0] - ratios[:, 1]
    alpha, momentum, now = step["settings"].get("alpha", 0.6), step["settings"].get("momentum", 0.9), h.detach().mean().item()
    average = momentum * carried.get("margin", 0) + (1 - momentum) * now
    carried.update(margin=average)
    return -logsigmoid(max(step["beta"] * (1 + alpha * (now - average)), 1e-3) * h).mean()


LOSSES = {"aot": trl_pairs("aot"), "aot_unpaired": trl_pairs("aot_unpaired"), "bco_pair": bco_pair, "bco_pair_unshifted": trl_pairs("bco_pair"),
          "beta_dpo": beta_dpo} | {name: trl_singles(name) for name in UNPAIRED}


def run(name, steps, settings=None, **also):
    out, carried = [], {}
    for step in steps:
        step = {"settings": settings or {}} | also | step
        policy = torch.tensor(step["policy"], requires_grad=True)
        loss = LOSSES[name](step, policy, torch.tensor(step["reference"]), carried)
        loss.backward()
        out.append(step | {"loss": loss.item(), "dlogps": policy.grad.tolist(), "carried": dict(carried)})
    return {"name": name, "steps": out}


def draw(rng, groups, k, spread):
    """Log-probs in 64ths, which float32 holds exactly, and their differences: what its arithmetic loses is measured, not its input."""
    return {name: [[round(64 * rng.gauss(-100, spread)) / 64 for _ in range(k)] for _ in range(groups)] for name in ("policy", "reference")}


# Log-ratios of chosen and rejected, at beta 1/4, where all numbers are exact: equal, as training begins; far apart, the right way and the wrong.
HARD = [(0, 0), (1, -3), (4e4, 0), (0, 4e4), (2e4, -2e4), (-2e4, 2e4)]


def hard(pairs):
    return {"beta": 0.25, "policy": [[-64.0 + a, -128.0 - i + b] for i, (a, b) in enumerate(pairs)], "reference": [[-64.0, -128.0 - i] for i in range(len(pairs))]}


def cases(rng):
    for name in ["aot", "aot_unpaired", "bco_pair", "bco_pair_unshifted", "beta_dpo"]:
        for spread in 5, 500:
            yield run(name, [draw(rng, groups, 2, spread) for groups in (4, 1, 3)], beta=0.1)
        for pairs in [[p] for p in HARD] + [HARD[1:4]]:
            yield run(name, [hard(pairs)])
    for name in "aot", "aot_unpaired":
        yield run(name, [draw(rng, 4, 2, 5)], beta=0.1, label_smoothing=0.1)
    yield run("beta_dpo", [draw(rng, 4, 2, 5) for _ in range(3)], {"alpha": 0.1, "momentum": 0.5}, beta=0.1)
    for name in UNPAIRED:
        yield from singles(rng, name)


def singles(rng, name):
    """Cases of a loss of single answers."""
    for label in [1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]:
        for spread in 5, 500:
            for weights in {}, {"desirable_weight": 1.5, "undesirable_weight": 0.5}:
                step = draw(rng, 4, 1, spread) | {"label": label, "drift": [rng.gauss(1, 3) for _ in range(4)]}
                yield run(name, [step], weights, beta=0.1)
    for ratio in 0.0, 4e4, -4e4:
        for drift in [0.0, 0.0], [-3.0, 1.0], [4e4, 4e4]:
            yield run(name, [{"policy": [[-64.0 + ratio], [-128.0 + ratio]], "reference": [[-64.0], [-128.0]], "label": [1, 0], "drift": drift}], beta=0.25)


def by_token(rng, lengths, alpha, weighting, log_prob, square):
    """DPOTrainer's sigmoid loss on log-probs of single tokens, with ld_alpha and use_weighting."""
    longest, pairs = max(sum(lengths, [])), len(lengths)
    ends = [n for k in range(2) for n in (pair[k] for pair in lengths)]
    mask = torch.tensor([[0] + [1] * n + [0] * (longest - n) for n in ends])
    draw = lambda of: torch.tensor([[of() for _ in range(longest)] for _ in ends])
    policy, reference, squares = (draw(log_prob) * mask[:, 1:]).requires_grad_(), draw(log_prob) * mask[:, 1:], draw(square)
    trainer = Trainer(loss_types=["sigmoid"], loss_weights=[1.0], beta=0.1)
    trainer.ld_alpha, trainer.use_weighting = alpha, weighting
    trainer.precompute_ref_logps = False
    said = lambda logps: SimpleNamespace(**vars(outputs(logps)) | {"log_sum_sq_probs": squares})
    trainer.ref_model = lambda **_: said(reference)
    ids = torch.ones_like(mask)
    loss = DPOTrainer._compute_loss(trainer, lambda **_: said(policy), {"input_ids": ids, "attention_mask": ids, "completion_mask": mask}, False)
    loss.backward()
    rows = lambda x: [[x[g + k * pairs, : lengths[g][k]].tolist() for k in range(2)] for g in range(pairs)]
    return {"beta": 0.1, "ld_alpha": alpha, "use_weighting": weighting, "policy": rows(policy.detach()), "reference": rows(reference),
            "squares": rows(squares), "loss": loss.item(), "dtokens": rows(policy.grad)}


def tokens_cases(rng):
    plain = lambda: (lambda: -rng.expovariate(0.4), lambda: -rng.expovariate(0.5))
    for lengths in [[3, 5], [4, 1], [2, 2]], [[1, 1]], [[1, 7]]:
        for alpha, weighting in (0.3, False), (0.0, False), (1.0, False), (None, True), (0.5, True):
            yield by_token(rng, lengths, alpha, weighting, *plain())
    yield by_token(rng, [[2, 6]], 0.25, False, lambda: -1e4 * rng.random(), lambda: -1.0)
    yield by_token(rng, [[2, 6]], None, True, lambda: -1e3 * rng.random(), lambda: -2.0)


if __name__ == "__main__":
    (OUT / "steplosses.tokens.json").write_text(json.dumps(list(tokens_cases(random.Random(8))), separators=(",", ":")) + "\n")
    (OUT / "steplosses.json").write_text(json.dumps(list(cases(random.Random(7))), separators=(",", ":")) + "\n")
