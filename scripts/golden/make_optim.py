"""Writes ten steps of each optimizer, by PyTorch's, transformers' and lion-pytorch's classes in float64, to testdata/golden/optim: inputs.json
(parameters and two series of gradients) and a file an optimizer, with the parameters after some of the steps. The second series has
gradients of 0, of 1e-30 and of 1e4. Muon computes in bfloat16 in PyTorch; its numbers are of the same class with that one function written
in float64, and those of the class itself stand beside them.

And decay.json: the parameters of the test models that transformers' Trainer applies weight decay to, schedule.json: schedules of
transformers' get_scheduler."""
import json
import pathlib
import random

import torch
from lion_pytorch import Lion
from torch.optim import _muon
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, get_scheduler
from transformers.optimization import Adafactor

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "testdata" / "golden"
LR, KEPT = 0.01, [1, 2, 3, 5, 10]
TENSORS = {"vector": [7], "wide": [3, 8], "tall": [8, 3], "square": [4, 4], "embedding": [5, 4]}
PLAIN, HARD = "plain", "hard"


def write(name, value):
    (OUT / name).write_text(json.dumps(value) + "\n")


def gauss(rng, shape, size=1.0):
    return torch.tensor([rng.gauss(0, size) for _ in range(torch.Size(shape).numel())], dtype=torch.float64).reshape(shape)


def inputs(rng):
    start = {name: gauss(rng, shape) for name, shape in TENSORS.items()}
    series = {}
    for name in PLAIN, HARD:
        series[name] = [{tensor: gauss(rng, shape, 10 ** rng.uniform(-2, 1)) for tensor, shape in TENSORS.items()} for _ in range(10)]
    for tensor, shape in TENSORS.items():
        hard = series[HARD]
        hard[0][tensor] = torch.zeros(shape, dtype=torch.float64)
        hard[1][tensor] = gauss(rng, shape, 1e-30)
        hard[2][tensor] = gauss(rng, shape, 1e4)
        mixed = hard[3][tensor].flatten()
        for i in range(mixed.numel()):
            mixed[i] = [0.0, 1e-30, 1e4, -1.0][i % 4]
        hard[5][tensor] = torch.zeros(shape, dtype=torch.float64)
    listed = lambda of: {tensor: x.flatten().tolist() for tensor, x in of.items()}
    write("optim/inputs.json", {"lr": LR, "kept": KEPT, "shapes": TENSORS, "start": listed(start),
                                "gradients": {name: [listed(g) for g in of] for name, of in series.items()}})
    return start, series


def newton_schulz(g, coefficients, steps, eps):
    a, b, c = coefficients
    x = g / g.norm().clamp(min=eps)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x


def muon(parameters, decay, **settings):
    of = {key.removeprefix("adamw_"): settings.pop(key) for key in list(settings) if key.startswith("adamw_")}
    hidden = [p for name, p in parameters.items() if name not in ("vector", "embedding")]
    others = [parameters[name] for name in ("vector", "embedding")]
    betas = (of.get("beta1", 0.9), of.get("beta2", 0.999))
    return [torch.optim.Muon(hidden, lr=LR, weight_decay=decay, **settings),
            torch.optim.AdamW(others, lr=LR * of.get("lr_ratio", 1), betas=betas, eps=of.get("eps", 1e-8), weight_decay=decay)]


def adamw(parameters, decay, beta1=0.9, beta2=0.999, eps=1e-8):
    return [torch.optim.AdamW(parameters.values(), lr=LR, betas=(beta1, beta2), eps=eps, weight_decay=decay)]


def rmsprop(parameters, decay, **settings):
    return [torch.optim.RMSprop(parameters.values(), lr=LR, weight_decay=decay, **settings)]


def sgd(parameters, decay, momentum=0.9, nesterov=False):
    return [torch.optim.SGD(parameters.values(), lr=LR, momentum=momentum, nesterov=nesterov, weight_decay=decay)]


def adafactor(parameters, decay, eps1=1e-30, eps2=1e-3, scale_parameter=False, **settings):
    return [Adafactor(list(parameters.values()), lr=LR, eps=(eps1, eps2), scale_parameter=scale_parameter, relative_step=False, weight_decay=decay,
                      **settings)]


def lion(parameters, decay, beta1=0.9, beta2=0.99):
    return [Lion(parameters.values(), lr=LR, betas=(beta1, beta2), weight_decay=decay)]


# The settings that each is run with, beside the defaults.
OPTIMIZERS = {
    "adamw": (adamw, [dict(beta1=0.8, beta2=0.95, eps=1e-6)]),
    "rmsprop": (rmsprop, [dict(alpha=0.9, eps=1e-6, momentum=0.5)]),
    "sgd": (sgd, [dict(momentum=0.0), dict(momentum=0.8, nesterov=True)]),
    "adafactor": (adafactor, [dict(scale_parameter=True, eps2=1.0), dict(eps1=1e-8, clip_threshold=0.5, decay_rate=-0.5, beta1=0.9)]),
    "muon": (muon, [dict(momentum=0.8, nesterov=False, ns_steps=3, eps=1e-3, adjust_lr_fn="match_rms_adamw"),
                    dict(adjust_lr_fn="spectral_unclamped", adamw_lr_ratio=0.5, adamw_beta1=0.8, adamw_beta2=0.95, adamw_eps=1e-6)]),
    "lion": (lion, [dict(beta1=0.95, beta2=0.98)]),
}


def steps(make, start, gradients, scale, decay, settings):
    parameters = {name: x.clone().requires_grad_() for name, x in start.items()}
    optimizers, kept = make(parameters, decay, **settings), []
    for i, g in enumerate(gradients):
        for name, p in parameters.items():
            p.grad = g[name] * scale
        for o in optimizers:
            o.step()
        if i + 1 in KEPT:
            kept.append({name: p.flatten().tolist() for name, p in parameters.items()})
    return kept


def optimizers(rng):
    start, series = inputs(rng)
    own = _muon._zeropower_via_newtonschulz
    for name, (make, varied) in OPTIMIZERS.items():
        cases = []
        for settings in [{}, *varied]:
            for of, scale, decay in (PLAIN, 1.0, 0.0), (HARD, 0.25, 0.1):
                case = {"settings": {key: str(x).lower() for key, x in settings.items()}, "gradients": of, "scale": scale, "weight_decay": decay}
                _muon._zeropower_via_newtonschulz = newton_schulz
                case["steps"] = steps(make, start, series[of], scale, decay, settings)
                _muon._zeropower_via_newtonschulz = own
                if name == "muon" and of == PLAIN:
                    case["bfloat16"] = steps(make, start, series[of], scale, decay, settings)
                cases.append(case)
        write(f"optim/{name}.json", cases)


def decays():
    names = {}
    for model in sorted((ROOT / "testdata" / "models").iterdir()):
        made = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model))
        wanted = set(Trainer.get_decay_parameter_names(None, made))
        names[model.name] = {name: name in wanted for name, _ in made.named_parameters()}
    write("decay.json", names)


# Of each schedule, the settings that transformers is given and, where ours have other names, ours.
SCHEDULES = [
    ("constant_with_warmup", {}), ("linear", {}), ("cosine", {}),
    ("inverse_sqrt", {}), ("inverse_sqrt", {"timescale": 7}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1}), ("cosine_with_min_lr", {"min_lr": 0.5, "num_cycles": 1.25}),
    ("warmup_stable_decay", {"num_decay_steps": 6}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "decay_type": "linear", "warmup_type": "cosine", "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "decay_type": "1-sqrt", "warmup_type": "1-sqrt", "min_lr_ratio": 0.2}),
    ("warmup_stable_decay", {"num_decay_steps": 9, "num_cycles": 1.5}),
]


def schedules():
    cases = []
    for name, settings in SCHEDULES:
        for warmup in 5, 0:
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
            schedule, rates = get_scheduler(name, optimizer, warmup, 20, dict(settings)), []
            for _ in range(22):
                rates.append(schedule.get_last_lr()[0])
                optimizer.step()
                schedule.step()
            cases.append({"schedule": name, "settings": {key: str(x) for key, x in settings.items()}, "rate": 2.0, "warmup": warmup, "total": 20, "rates": rates})
    write("schedule.json", cases)


if __name__ == "__main__":
    (OUT / "optim").mkdir(exist_ok=True)
    optimizers(random.Random(1))
    decays()
    schedules()
