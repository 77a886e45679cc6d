"""Times DPO training of a small model by a PyTorch loop and prints JSON: seconds of all steps, without loading and the reference, and the last loss.

    python bench/peers/train_loop.py --model DIR --pairs FILE --batch 32 --steps 120

A transformers model in float32, batches padded to their longest sequence, the reference's log-probabilities computed before, the head on
the rows from the shortest prompt on, fused AdamW, gradients clipped at 1, as many threads as cores.
"""
import argparse, json, os, time

import torch
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM, AutoTokenizer

BETA, RATE = 0.5, 1e-4


def encode(tokenizer, rows):
    """(prompt's length, ids with EOS) of the chosen and the rejected answer of each row."""
    eos = [tokenizer.eos_token_id]
    encoded = []
    for row in rows:
        prompt = len(tokenizer(row["prompt"])["input_ids"])
        encoded.append([(prompt, tokenizer(row["prompt"] + row[name])["input_ids"] + eos) for name in ("chosen", "rejected")])
    return encoded


def logps(model, pairs):
    """[2, pairs]: log-probabilities of the chosen answers, then of the rejected ones."""
    all = [pair[side] for side in (0, 1) for pair in pairs]
    width, first = max(len(ids) for _, ids in all), min(prompt for prompt, _ in all)
    ids, mask = torch.zeros(len(all), width, dtype=torch.long), torch.zeros(len(all), width, dtype=torch.long)
    scored = torch.zeros(len(all), width - first)
    for i, (prompt, of) in enumerate(all):
        ids[i, : len(of)], mask[i, : len(of)], scored[i, prompt - first : len(of) - first] = torch.tensor(of), 1, 1
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=torch.arange(first - 1, width - 1), use_cache=False).logits
    each = logits.gather(-1, ids[:, first:].unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)
    return (each * scored).sum(-1).view(2, -1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    with open(args.pairs) as file:
        encoded = encode(AutoTokenizer.from_pretrained(args.model), [json.loads(line) for line in file])
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    order = []
    while len(order) < args.batch * args.steps:
        order += torch.randperm(len(encoded)).tolist()
    batches = [order[at : at + args.batch] for at in range(0, args.batch * args.steps, args.batch)]
    with torch.no_grad():
        reference = [logps(model, [encoded[row] for row in rows]) for rows in batches]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0, fused=True)
    start = time.perf_counter()
    for rows, ref in zip(batches, reference):
        rewards = BETA * (logps(model, [encoded[row] for row in rows]) - ref)
        loss = -logsigmoid(rewards[0] - rewards[1]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    print(json.dumps({"seconds": time.perf_counter() - start, "loss": loss.item()}))


if __name__ == "__main__":
    main()
