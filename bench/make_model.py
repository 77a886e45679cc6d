"""Writes a Llama-shaped model of 135M parameters with random weights, and pairs of exact lengths, for timing.

    python bench/make_model.py --out DIR --prompt 128 --completion 128

DIR/model is a Hugging Face directory whose tokenizer takes words for tokens, DIR/pairs.jsonl has 64 pairs.
"""
import argparse, json, pathlib, random

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY, PAIRS = 49152, 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--prompt", type=int, required=True)
    parser.add_argument("--completion", type=int, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
                         num_key_value_heads=3, max_position_embeddings=8192, tie_word_embeddings=True, bos_token_id=None, eos_token_id=1)
    LlamaForCausalLM(config).float().save_pretrained(args.out / "model")
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<eos>", pad_token="<eos>").save_pretrained(args.out / "model")
    rng = random.Random(0)
    text = lambda n: " ".join(f"w{rng.randrange(2, VOCABULARY)}" for _ in range(n))
    with open(args.out / "pairs.jsonl", "w") as file:
        for _ in range(PAIRS):
            # The last word of an answer is EOS, so that no program adds one.
            row = {"prompt": text(args.prompt), "chosen": " " + text(args.completion - 1) + " <eos>",
                   "rejected": " " + text(args.completion - 1) + " <eos>"}
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
