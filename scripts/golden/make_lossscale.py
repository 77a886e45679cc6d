"""Writes what PyTorch's GradScaler, with its defaults, makes of steps whose gradients are finite or not: testdata/golden/lossscale.json. A case
has the scale that it begins with, its steps as runs of [finite, how many], the steps (from 1) after which the scale is another one with that
scale, and how many steps the optimizer did not take."""
import json
import pathlib

import torch

OUT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "golden" / "lossscale.json"
CASES = {
    "defaults": (None, [[True, 3], [False, 2], [True, 1999], [False, 1], [True, 2000], [True, 1], [False, 1]]),
    "growth": (4.0, [[True, 4001], [False, 1], [True, 1998], [False, 1], [True, 2000]]),
    "alternating": (1024.0, [[finite, 1] for finite in [False, True] * 4]),
    "largest": (2.0 ** 126, [[True, 6001], [False, 2], [True, 2000]]),
}


def play(start, runs):
    scaler = torch.amp.GradScaler("cpu") if start is None else torch.amp.GradScaler("cpu", init_scale=start)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    taken = []
    optimizer.register_step_post_hook(lambda *_: taken.append(1))
    changes, step, first = [], 0, scaler.get_scale()
    for finite, times in runs:
        for _ in range(times):
            step += 1
            before = scaler.get_scale()
            scaler.scale(weight.sum())
            weight.grad = torch.full_like(weight, 1.0 if finite else float("inf"))
            scaler.step(optimizer)
            scaler.update()
            if scaler.get_scale() != before:
                changes.append([step, scaler.get_scale()])
    return {"start": first, "runs": runs, "changes": changes, "skipped": step - len(taken)}


OUT.write_text(json.dumps({name: play(*case) for name, case in CASES.items()}) + "\n")
