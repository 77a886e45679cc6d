"""Writes testdata/golden/trl/losses.json: ten steps of TRL's trainers with each loss that TRL has and make_trl.py does not run, in float32 on tiny-llama,
as make_trl.py has them of DPOTrainer. Losses bear our names; cpo and simpo are CPOTrainer's, orpo is ORPOTrainer's, but that its likelihood is that of
answers alone, as in its paper, where TRL's goes over the prompt, too."""
import json

import torch
from torch.nn.functional import cross_entropy
from trl import DPOConfig, DPOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from make_trl import ROOT, TINY, first_rows, load, train

STEPS, ROWS, BATCH, CLIP = 10, 64, 8, 1.0
KEPT = ["loss", "grad_norm", "rewards/chosen", "rewards/rejected", "rewards/margins"]
OURS = {"ipo": "ipo_mean"}


def dpo(loss, lr=3e-4, beta=0.1, weights=None, smoothing=0.0, divergence="reverse_kl", **settings):
    """A run of DPOTrainer; settings are ours, by our names."""
    types = loss if isinstance(loss, list) else [loss]
    args = dict(loss_type=types, loss_weights=weights, beta=beta, label_smoothing=smoothing, f_divergence_type=divergence)
    names = {"tau": "discopop_tau", "f_alpha_divergence_coef": "f_alpha_divergence_coef"}
    args |= {names[name]: value for name, value in settings.items()}
    name = ",".join(f"{OURS.get(t, t)}={w}" for t, w in zip(types, weights)) if weights else OURS.get(loss, loss)
    shown = {"loss": name, "beta": beta, "lr": lr, "label_smoothing": smoothing, "settings": settings}
    return DPOTrainer, DPOConfig, args | {"max_length": 512}, shown | ({"divergence": divergence} if divergence != "reverse_kl" else {})


class AnswersAlone(ORPOTrainer):
    """Takes the likelihood of the chosen answers without that of their prompts."""

    def concatenated_forward(self, model, batch):
        out = list(super().concatenated_forward(model, batch))
        labels = batch["chosen_labels"][:, 1:]
        logits = out[2][:, :labels.shape[1]]
        out[4] = cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))
        return tuple(out)


def other(trainer, config, name, lr, beta, args, settings, smoothing=0.0):
    args = args | {"beta": beta, "max_length": 512}
    if smoothing:
        args |= {"label_smoothing": smoothing}
    return trainer, config, args, {"loss": name, "beta": beta, "lr": lr, "label_smoothing": smoothing, "settings": settings}


RUNS = [
    dpo("exo_pair", smoothing=1e-3), dpo("nca_pair"), dpo("sppo_hard"), dpo("apo_zero"), dpo("apo_down"), dpo("discopop", tau=1.0),
    dpo("sigmoid_norm", beta=2.0), dpo(["sigmoid", "nca_pair", "sft"], weights=[0.8, 0.2, 1.0]), dpo("sft"),
    dpo("sigmoid", divergence="forward_kl"), dpo("sigmoid", divergence="js_divergence", lr=1e-3, beta=0.5),
    dpo("sigmoid", divergence="alpha_divergence", f_alpha_divergence_coef=0.75), dpo("ipo", divergence="js_divergence", lr=1e-3),
    other(CPOTrainer, CPOConfig, "cpo", 1e-3, 0.1, dict(loss_type="sigmoid", cpo_alpha=0.5), {"alpha": 0.5}, 0.1),
    other(CPOTrainer, CPOConfig, "simpo", 3e-4, 2.0, dict(loss_type="simpo", cpo_alpha=0.0, simpo_gamma=1.0), {"gamma": 1.0}),
    other(AnswersAlone, ORPOConfig, "orpo", 1e-3, 0.5, {}, {}),
]


def run(trainer, config, args, shown):
    directory = TINY["model"]
    steps = train(trainer, config, directory, load(directory), first_rows(TINY["pairs"], ROWS), KEPT, "adamw", per_device_train_batch_size=BATCH, max_steps=STEPS,
                  learning_rate=shown["lr"], max_grad_norm=CLIP, **args)
    print(f"{shown['loss']} {shown.get('divergence', '')}: loss {steps[0]['loss']:.4f} to {steps[-1]['loss']:.4f}")
    return shown | {"steps": [[line[name] for name in KEPT] for line in steps]}


def main():
    runs = [json.dumps(run(*of)) for of in RUNS]
    shared = {"rows": ROWS, "batch": BATCH, "max_grad_norm": CLIP, "max_length": 512, "kept": KEPT}
    (ROOT / "testdata/golden/trl/losses.json").write_text(json.dumps(shared)[:-1] + ', "runs": [\n' + ",\n".join(runs) + "\n]}\n")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
