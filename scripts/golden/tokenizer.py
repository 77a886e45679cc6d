"""A byte-level BPE tokenizer small enough for tiny models: 3 special tokens, 256 bytes and a few merges."""
import json

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import stories

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
VOCAB = 320


def build(bos):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(t, special=True, normalized=False) for t in (BOS, EOS, PAD)]
    tokenizer.train_from_iterator(stories.corpus(), trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=special, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))])
    return tokenizer


def write(directory, bos):
    """Writes tokenizer.json and tokenizer_config.json; the tokenizer puts BOS before a text, or nothing."""
    build(bos).save(str(directory / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS if bos else None, "eos_token": EOS, "pad_token": PAD,
              "clean_up_tokenization_spaces": False, "model_max_length": 512}
    (directory / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}, indent=2) + "\n")
