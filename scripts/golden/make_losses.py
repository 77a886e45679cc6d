"""Writes testdata/golden/losses.json: the losses of preferences and their gradients by the policy's log-probs, in float64.

Where TRL has a loss its own code says what it is: DPOTrainer's, CPOTrainer's and ORPOTrainer's, given log-probs in the place of a model's.
Each loss is also written here as its paper has it, in PyTorch with autograd, so that it stays finite, and the two must agree wherever TRL's
code gives numbers; where it gives none (its discopop is NaN at large log-ratios), computes in float32 (ORPO, the alpha-divergence, EXO's labels), or has no
such loss, this formula is what stands in the file. `by` says which of the two a case is from.
"""
import json
import math
import pathlib
import random
from collections import defaultdict
from types import SimpleNamespace

import torch
from torch.nn.functional import logsigmoid
from trl import DPOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

OUT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "golden" / "losses.json"
HELD = 80  # the exponent that TRL holds the alpha-divergence at


# The formulas: of v, which has the log-probs of policy and reference [G,2], lengths [G,2], margin [G], and the settings.
def ratios(v):
    return v.policy - v.reference


def lead(x):
    return x[:, 0] - x[:, 1]


def scores(v):
    r = ratios(v)
    if v.divergence == "forward_kl":
        return 1 - torch.exp(torch.clamp(-r, max=HELD))
    if v.divergence == "js_divergence":
        return math.log(2) + logsigmoid(r)
    if v.divergence == "alpha_divergence":
        power = v.f_alpha_divergence_coef - 1
        return (torch.exp(torch.clamp(power * r, max=HELD)) - 1) / power
    return r


def binary(v, x):
    return -(1 - v.label_smoothing) * logsigmoid(x) - v.label_smoothing * logsigmoid(-x)


def sigmoid(v):
    return binary(v, v.beta * lead(scores(v)))


def hinge(v):
    return torch.relu(1 - v.beta * lead(scores(v)))


def ipo(v):
    return (lead(scores(v)) - 1 / (2 * v.beta)) ** 2


def ipo_mean(v):
    return (lead(scores(v) / v.lengths) - 1 / (2 * v.beta)) ** 2


def robust(v):
    x, e = v.beta * lead(scores(v)), v.label_smoothing
    return (-(1 - e) * logsigmoid(x) + e * logsigmoid(-x)) / (1 - 2 * e)


def sigmoid_norm(v):
    return -logsigmoid(v.beta * lead(scores(v) / v.lengths))


def exo_pair(v):
    x, e = v.beta * lead(scores(v)), v.label_smoothing
    log_q, log_other = logsigmoid(x), logsigmoid(-x)
    return log_q.exp() * (log_q - math.log1p(-e)) + log_other.exp() * (log_other - math.log(e))


def discopop(v):
    x = v.beta * lead(scores(v))
    return -logsigmoid(x) * torch.sigmoid(-x / v.tau) + torch.exp(logsigmoid(x / v.tau) - x)


def nca_pair(v):
    r = v.beta * ratios(v)
    return -logsigmoid(r[:, 0]) - 0.5 * (logsigmoid(-r[:, 0]) + logsigmoid(-r[:, 1]))


def sppo_hard(v):
    r = ratios(v)
    return (r[:, 0] - 0.5 / v.beta) ** 2 + (r[:, 1] + 0.5 / v.beta) ** 2


def apo_zero(v):
    r = v.beta * ratios(v)
    return torch.sigmoid(-r[:, 0]) + torch.sigmoid(r[:, 1])


def apo_down(v):
    r = v.beta * ratios(v)
    return torch.sigmoid(r[:, 0]) + torch.sigmoid(r[:, 1] - r[:, 0])


def dpop(v):
    lost = torch.relu(-ratios(v)[:, 0])
    return -logsigmoid(v.beta * (lead(ratios(v)) - v["lambda"] * lost))


def odpo(v):
    return -logsigmoid(v.beta * lead(ratios(v)) - v.alpha * v.margin)


def sft(v):
    return -v.policy[:, 0] / v.lengths[:, 0].mean()


def sft_mean(v):
    return -v.policy[:, 0] / v.lengths[:, 0]


def simpo(v):
    return binary(v, v.beta * lead(v.policy / v.lengths) - v.gamma)


def cpo(v):
    return binary(v, v.beta * lead(v.policy)) + v.alpha * sft(v)


def orpo(v):
    a = v.policy / v.lengths
    odds = a - torch.log(-torch.expm1(a))
    return sft(v) - v.beta * logsigmoid(lead(odds))


def plackett_luce(v):
    r = v.beta * scores(v)
    return -sum(r[:, k] - r[:, k:].logsumexp(1) for k in range(r.shape[1]))


def nll(v):
    return -v.policy.sum(1)


def mixture(text):
    parts = [part.split("=") for part in text.split(",")]
    return lambda v: sum(float(weight) * globals()[name](v) for name, weight in parts)


class Values(SimpleNamespace):
    def __getitem__(self, name):
        return getattr(self, name)


# TRL's own code, with log-probs of whole answers in the place of a model: the first token of an answer has all of it, so that sums are exact.
def accelerator():
    return SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)


def laid_out(logps, lengths):
    """Log-probs and masks of [2G, 1 + longest] tokens: one of the prompt, then the answers, the chosen before the rejected."""
    flat, counts = logps.T.reshape(-1), lengths.T.reshape(-1).long()
    columns = torch.arange(1, counts.max() + 1)
    mask = torch.cat([torch.zeros(len(counts), 1), (columns <= counts[:, None]).double()], 1).long()
    return torch.nn.functional.pad(flat[:, None], (0, mask.shape[1] - 2)), mask


def dpo_trainer(v, types, weights):
    logps, mask = laid_out(v.policy, v.lengths)
    zeros = torch.zeros_like(logps).detach()

    def model(**_):
        return SimpleNamespace(log_probs=logps, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())

    model.training = True
    this = SimpleNamespace(model=model, accelerator=accelerator(), ld_alpha=None, precompute_ref_logps=True, aux_loss_enabled=False, beta=v.beta,
                           loss_types=types, loss_weights=weights, f_divergence_type=v.divergence or "reverse_kl",
                           f_alpha_divergence_coef=v.f_alpha_divergence_coef, label_smoothing=v.label_smoothing, use_weighting=False,
                           args=SimpleNamespace(discopop_tau=v.tau), _metrics=defaultdict(lambda: defaultdict(list)), _total_train_tokens=0, _tp_size=1)
    inputs = {"input_ids": mask, "attention_mask": mask, "completion_mask": mask, "ref_chosen_logps": v.reference[:, 0],
              "ref_rejected_logps": v.reference[:, 1]}
    return DPOTrainer._compute_loss(this, model, inputs, False)


def other_trainer(trainer, v, averaged, **attributes):
    logps = v.policy / v.lengths if averaged else v.policy
    likelihood = -v.policy[:, 0].sum() / v.lengths[:, 0].sum()
    this = SimpleNamespace(accelerator=accelerator(), aux_loss_enabled=False, beta=v.beta, label_smoothing=v.label_smoothing, alpha=0.0, **attributes)
    this.concatenated_forward = lambda model, batch: (logps[:, 0], logps[:, 1], logps.detach(), logps.detach(), likelihood)
    for name in "cpo_loss", "odds_ratio_loss":
        if hasattr(trainer, name):
            setattr(this, name, lambda *of, name=name: getattr(trainer, name)(this, *of))
    return trainer.get_batch_loss_metrics(this, None, None)[0]


SAME = ["hinge", "robust", "sigmoid_norm", "exo_pair", "discopop", "nca_pair", "sppo_hard", "apo_zero", "apo_down", "sft"]


def near(name):
    """TRL takes the logarithm of EXO's label smoothing in float32."""
    return 1e-5 if "exo_pair" in name else 1e-11


def of_trl(name, v):
    """TRL's loss of the batch, or None where it has no such loss; and how near the formula must be."""
    if v.divergence == "alpha_divergence":
        return None, 0
    if name in SAME or name == "sigmoid" and v.label_smoothing == 0:
        return dpo_trainer(v, [name], [1.0]), near(name)
    if name == "ipo_mean":
        return dpo_trainer(v, ["ipo"], [1.0]), 1e-11
    if name == "simpo":
        return other_trainer(CPOTrainer, v, True, loss_type="simpo", simpo_gamma=v.gamma, cpo_alpha=0.0), 1e-11
    if name == "cpo":
        return other_trainer(CPOTrainer, v, False, loss_type="sigmoid", cpo_alpha=v.alpha), 1e-11
    if name == "orpo":
        return other_trainer(ORPOTrainer, v, True), 1e-4
    parts = [part.split("=") for part in name.split(",")]
    if len(parts) > 1 and all(part in SAME + ["sigmoid"] for part, _ in parts):
        return dpo_trainer(v, [part for part, _ in parts], [float(weight) for _, weight in parts]), near(name)
    return None, 0


DEFAULTS = dict(label_smoothing=0.0, tau=0.05, gamma=0.5, alpha=1.0, f_alpha_divergence_coef=0.5, divergence="") | {"lambda": 50.0}


def exact(x):
    """A number that float32 has, and differences of which it has, too."""
    return round(x * 256) / 256


def draw(rng, k, spread):
    policy = [[exact(min(-2, rng.gauss(-100, spread / 4))) for _ in range(k)] for _ in range(3)]
    return {"beta": 0.1, "policy": policy, "reference": [[exact(x + rng.gauss(0, spread)) for x in row] for row in policy],
            "lengths": [[rng.randint(1, 50) for _ in range(k)] for _ in range(3)], "margin": [exact(rng.uniform(0, 3)) for _ in range(3)]}


def one(policy, reference, lengths, margin=1.0):
    return {"beta": 0.25, "policy": [policy], "reference": [reference], "lengths": [lengths], "margin": [margin]}


# Log-ratios of ±1e4 in all pairs, equal answers before and after an update, answers of one token, and nothing learnt yet.
HIGH, LOW = (-1, -10001), (-10001, -1)
HARD = [one([a[0], b[0]], [a[1], b[1]], [3, 7]) for a in (HIGH, LOW) for b in (HIGH, LOW)]
HARD += [one([HIGH[0], -64], [HIGH[1], -64], [2, 5]), one([-64, HIGH[0]], [-64, HIGH[1]], [2, 5]), one([LOW[0], -64], [LOW[1], -64], [2, 5]),
         one([-20, -20], [-21, -21], [4, 4]), one([-64, -128], [-64, -128], [3, 7]), one([-0.5, -3], [-0.75, -1], [1, 1]),
         one([-0.00390625, -7], [-2, -2], [1, 1], 0.0)]


def case(name, number, batch, settings):
    v = Values(**DEFAULTS | settings, beta=batch["beta"])
    v.policy = torch.tensor(batch["policy"], dtype=torch.float64, requires_grad=True)
    for field in "reference", "lengths", "margin":
        setattr(v, field, torch.tensor(batch[field], dtype=torch.float64))
    losses = (mixture(name) if "=" in name else globals()[name])(v)
    gradient, = torch.autograd.grad(losses.mean(), v.policy)
    assert losses.isfinite().all() and gradient.isfinite().all(), (name, batch)
    out = {"loss": name, "input": number, "by": "formula", "losses": losses.tolist(), "dlogps": gradient.tolist()}
    shown = {key: value for key, value in settings.items() if key != "divergence"}
    out |= {"settings": shown} if shown else {}
    out |= {"divergence": v.divergence} if v.divergence else {}
    trl, apart = of_trl(name, v)
    if trl is None:
        return out
    theirs, = torch.autograd.grad(trl, v.policy)
    if not (trl.isfinite() and theirs.isfinite().all()):
        return out
    for what, a, b in ("loss", losses.mean(), trl), ("gradient", gradient, theirs):
        assert ((a - b).abs() <= apart * b.abs() + apart / 1e4).all(), (name, batch, what, a, b)
    if apart < 1e-9:
        out |= {"by": "TRL", "dlogps": theirs.tolist()}
        if len(losses) == 1:
            out["losses"] = [trl.item()]
    return out


VARIANTS = [("sigmoid", {}), ("sigmoid", {"label_smoothing": 0.125}), ("hinge", {}), ("ipo", {}), ("ipo_mean", {}), ("robust", {"label_smoothing": 0.125}),
            ("sigmoid_norm", {}), ("exo_pair", {"label_smoothing": 0.001953125}), ("discopop", {}), ("discopop", {"tau": 0.5}), ("nca_pair", {}),
            ("sppo_hard", {}), ("apo_zero", {}), ("apo_down", {}), ("dpop", {}), ("dpop", {"lambda": 5.0}), ("odpo", {}), ("odpo", {"alpha": 0.5}),
            ("sft", {}), ("sft_mean", {}), ("simpo", {}), ("simpo", {"gamma": 1.5, "label_smoothing": 0.125}), ("cpo", {}), ("cpo", {"alpha": 0.25}),
            ("orpo", {}), ("plackett_luce", {}), ("nll", {}), ("sigmoid=0.75,sft=1", {}), ("sigmoid=1,sft_mean=0.5", {}),
            ("hinge=0.5,nca_pair=0.25,exo_pair=1", {"label_smoothing": 0.001953125}), ("apo_zero=0.25,odpo=1,dpop=0.5", {}) ]
DIVERGENT = ["sigmoid", "hinge", "ipo_mean", "sigmoid_norm", "discopop", "sigmoid=0.75,sft=1"]
DIVERGENCES = [{"divergence": "forward_kl"}, {"divergence": "js_divergence"}, {"divergence": "alpha_divergence"},
               {"divergence": "alpha_divergence", "f_alpha_divergence_coef": 0.25}]


def main():
    rng = random.Random(11)
    inputs = [draw(rng, 2, 3), draw(rng, 2, 300), *HARD, draw(rng, 3, 3), draw(rng, 3, 300)]
    pairs, triples = range(2 + len(HARD)), range(2 + len(HARD), len(inputs))
    cases = [case(name, i, inputs[i], settings) for name, settings in VARIANTS for i in pairs if "apo_zero=" not in name or i < 2]
    cases += [case(name, i, inputs[i], {}) for name in ("plackett_luce", "nll") for i in triples]
    # A ratio that has fallen by 1e4 is held at exp(80), which squared exceeds float32.
    fallen = [2, 3, 4, 5, 8]
    cases += [case(name, i, inputs[i], settings) for name in DIVERGENT for settings in DIVERGENCES for i in pairs
              if i != 1 and not (name == "ipo_mean" and i in fallen)]
    OUT.write_text('{"inputs": [\n' + ",\n".join(map(json.dumps, inputs)) + '\n],\n"cases": [\n' + ",\n".join(map(json.dumps, cases)) + "\n]}\n")
    print(len(cases), "cases,", sum(c["by"] == "TRL" for c in cases), "by TRL")


if __name__ == "__main__":
    main()
