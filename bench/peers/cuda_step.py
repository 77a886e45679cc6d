"""DPO steps of a model on a GPU, as PyTorch users write them: chosen and rejected as one padded batch, attention by SDPA, log-probabilities of
the reference known before, fused AdamW.

    python3 bench/peers/cuda_step.py --model DIR --pairs FILE --batch 16 --steps 8 --weights bfloat16|float32 [--score]

With --weights float32 the model is in float32 and computes under bf16 autocast, as TRL's --bf16 has it; with bfloat16 all of it is bf16. --score
times the forward pass alone. The last line is JSON: seconds of each step, peak bytes, the losses.
"""
import argparse, json, time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--weights", choices=["bfloat16", "float32"], default="float32")
    parser.add_argument("--score", action="store_true")
    a = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    model = AutoModelForCausalLM.from_pretrained(a.model, dtype=getattr(torch, a.weights), attn_implementation="sdpa").cuda()
    model.config.use_cache = False
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.0, fused=True)
    seconds, losses = [], []
    for step, rows in enumerate(batches(a.pairs, a.batch)):
        if step == a.steps:
            break
        torch.cuda.synchronize()
        start = time.time()
        if a.score:
            with torch.no_grad():
                losses.append(logps(model, *rows).sum().item())
        else:
            losses.append(train(model, optimizer, rows).item())
        torch.cuda.synchronize()
        seconds.append(time.time() - start)
    print(json.dumps({"step_seconds": seconds, "peak": torch.cuda.max_memory_allocated(), "losses": losses}))


def batches(path, size):
    """Batches of [2·size] sequences, chosen before rejected: ids and which of them are an answer's, of rows of one length."""
    rows = [json.loads(line) for line in open(path)]
    ids = lambda text: [1 if word == "<eos>" else int(word[1:]) for word in text.split()]
    for first in range(0, len(rows) - size + 1, size):
        part = rows[first : first + size]
        sequences = [ids(r["prompt"]) + ids(r[side]) for side in ("chosen", "rejected") for r in part]
        answer = [[0] * len(ids(r["prompt"])) + [1] * len(ids(r[side])) for side in ("chosen", "rejected") for r in part]
        yield torch.tensor(sequences).cuda(), torch.tensor(answer).cuda()


def logps(model, ids, answer):
    """The log-probability of each sequence's answer."""
    with torch.autocast("cuda", torch.bfloat16, enabled=model.dtype == torch.float32):
        logits = model(ids).logits
    each = torch.log_softmax(logits[:, :-1].float(), -1).gather(-1, ids[:, 1:, None])[..., 0]
    return (each * answer[:, 1:]).sum(-1)


def train(model, optimizer, rows, beta=0.1):
    policy = logps(model, *rows)
    half = len(policy) // 2
    reference = policy.detach()  # what it was before the first step; later its value changes no work
    loss = -F.logsigmoid(beta * ((policy - reference)[:half] - (policy - reference)[half:])).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


if __name__ == "__main__":
    main()
