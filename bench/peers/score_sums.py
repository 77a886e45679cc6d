"""Times transformers' forward pass computing the log-probability of each answer, and prints JSON: rows (pairs) a second by batch size, the best
batch size, and the sums of the chosen answers.

    python bench/peers/score_sums.py --model DIR --pairs FILE --rows 16

Sequences are padded on the right and batched in the order of the file, the head computes the rows that predict an answer's token and no others,
and log-probabilities are the target's logit less the log-sum-exp: no [tokens, vocabulary] of log-probabilities is made.
"""
import argparse, json, os, time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def sequences(tokenizer, rows):
    """(prompt's length, ids) of each answer, chosen and rejected in turn."""
    out = []
    for row in rows:
        prompt = len(tokenizer(row["prompt"])["input_ids"])
        out += [(prompt, tokenizer(row["prompt"] + row[name])["input_ids"]) for name in ("chosen", "rejected")]
    return out


@torch.no_grad()
def sums(model, batch):
    width, first = max(len(ids) for _, ids in batch), min(prompt for prompt, _ in batch)
    ids, scored = torch.zeros(len(batch), width, dtype=torch.long), torch.zeros(len(batch), width - first, dtype=torch.bool)
    mask = torch.zeros(len(batch), width, dtype=torch.long)
    for i, (prompt, of) in enumerate(batch):
        ids[i, : len(of)], mask[i, : len(of)], scored[i, prompt - first : len(of) - first] = torch.tensor(of), 1, True
    keep = torch.arange(first - 1, width - 1)
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=keep, use_cache=False).logits
    logps = logits.gather(-1, ids[:, first:].unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)
    return (logps * scored).sum(-1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--rows", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with open(args.pairs) as file:
        rows = [json.loads(line) for line in file][: args.rows]
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    all = sequences(AutoTokenizer.from_pretrained(args.model), rows)
    rates = {}
    for size in 1, 4, 8:
        batches = [all[at : at + size] for at in range(0, len(all), size)]
        sums(model, batches[0])  # warm-up
        start = time.perf_counter()
        found = torch.cat([sums(model, batch) for batch in batches])
        rates[size] = len(rows) / (time.perf_counter() - start)
    print(json.dumps({"rows_per_second": rates, "best": str(max(rates, key=rates.get)), "chosen": found[::2].tolist()}))


if __name__ == "__main__":
    main()
