"""Writes what transformers' generate does, to testdata/golden/generate.json.

greedy: of each tiny model, prompts (token ids) and the ids that greedy search puts after them, alone and in float32, with the least distance
between the best and the second best logit on the way. warped: logits, settings, and the probabilities that are left of them after transformers'
own warpers, in the order in which generate applies them; 0 where a token is left out.
"""
import json
import pathlib
import random

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

TESTDATA = pathlib.Path(__file__).resolve().parent / "../../testdata"
MODELS = ["tiny-llama", "tiny-llama-untied", "tiny-llama-rope3", "tiny-llama-linear", "tiny-mistral", "tiny-qwen2", "tiny-qwen3"]
LENGTHS, NEW = [1, 3, 6, 17, 24], 20
SETTINGS = [{"top_k": 5}, {"top_p": 0.6}, {"min_p": 0.2}, {"temperature": 0.5, "top_k": 20, "top_p": 0.8}, {"temperature": 2.0, "top_p": 0.9, "min_p": 0.1},
            {"temperature": 1.5, "top_k": 30, "top_p": 0.7, "min_p": 0.3}, {"top_k": 1}, {"top_p": 0.01}]


def greedy(name, rng, lengths=LENGTHS, new=NEW):
    model = AutoModelForCausalLM.from_pretrained(TESTDATA / "models" / name, dtype=torch.float32, attn_implementation="eager").eval()
    for length in lengths:
        prompt = [rng.randrange(3, model.config.vocab_size) for _ in range(length)]
        out = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, length, dtype=torch.long), do_sample=False, max_new_tokens=new,
                             output_logits=True, return_dict_in_generate=True)
        best = torch.stack(out.logits)[:, 0].topk(2).values
        yield {"prompt": prompt, "ids": out.sequences[0, length:].tolist(), "gap": (best[:, 0] - best[:, 1]).min().item()}


def warped(model, settings, logits):
    config = GenerationConfig(do_sample=True, eos_token_id=1, pad_token_id=2, **({"top_k": 0} | settings))
    processors = model._get_logits_processor(config, input_ids_seq_length=1, device="cpu")
    left = processors(torch.tensor([[0]]), logits[None].clone())
    return left.softmax(-1)[0].tolist()


def main():
    rng = random.Random(0)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(TESTDATA / "models" / "tiny-llama", dtype=torch.float32)
    cases = []
    for settings in SETTINGS:
        logits = (3 * torch.randn(60)).float()
        cases.append({"settings": settings, "logits": logits.tolist(), "probs": warped(model, settings, logits)})
    out = {"greedy": {name: list(greedy(name, rng)) for name in MODELS}, "warped": cases}
    (TESTDATA / "golden" / "generate.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
