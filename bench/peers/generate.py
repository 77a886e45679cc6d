"""Times transformers' generate, greedy and with its cache, and prints JSON: new tokens a second, and the text that follows the first prompt.

    python bench/peers/generate.py --model DIR --prompts FILE --batch 16 --new 64

All prompts have one length, so nothing is padded. EOS is suppressed. The first batch is a warm-up.
"""
import argparse, json, os, time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


@torch.no_grad()
def continued(model, ids, new):
    return model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=new, max_new_tokens=new, pad_token_id=1)[:, ids.shape[1]:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompts", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--new", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    with open(args.prompts) as file:
        ids = torch.tensor([tokenizer(json.loads(line)["prompt"])["input_ids"] for line in file])
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    continued(model, ids[: args.batch], 4)
    start = time.perf_counter()
    found = torch.cat([continued(model, batch, args.new) for batch in ids.split(args.batch)])
    print(json.dumps({"tokens_per_second": found.numel() / (time.perf_counter() - start), "first": tokenizer.decode(found[0])}))


if __name__ == "__main__":
    main()
