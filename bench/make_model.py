"""Writes a model directory of a known shape with random weights, for timing. Needs nothing but Python.

    python3 bench/make_model.py --shape llama-135m --out DIR

Weights are normal with a standard deviation of 0.02, a block of a million of them over and over: its length is a prime, so no two rows
of a matrix are equal. Norms are 1. The tokenizer takes words for tokens (w2, w3, …, <eos>), or is the file that --tokenizer names.
"""
import argparse, array, gzip, json, pathlib, random, struct

DEVIATION, PERIOD = 0.02, 1_000_003


def llama(hidden, intermediate, layers, heads, kv_heads, vocabulary, tied):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "intermediate_size": intermediate,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": hidden // heads,
            "vocab_size": vocabulary, "tie_word_embeddings": tied, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
            "hidden_act": "silu", "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "rope_theta": 10000.0,
            "attention_bias": False, "bos_token_id": None, "eos_token_id": 1, "dtype": "float32"}


SHAPES = {
    "llama-135m": llama(576, 1536, 30, 9, 3, 49152, True),
    "llama-1.1b": llama(2048, 5632, 22, 32, 4, 32000, False),
    "llama-7b": llama(4096, 11008, 32, 32, 32, 32000, False) | {"dtype": "bfloat16"},
    "llama-1.1b-cut": llama(2048, 5632, 2, 32, 4, 32000, False),  # to see that a bench works
    "llama-tiny": llama(64, 172, 5, 8, 4, 512, True),
    # Qwen3's vocabulary and the norms of its queries and keys; hidden 512, 12 layers.
    "qwen3-small": llama(512, 1536, 12, 8, 4, 151936, True) | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "eos_token_id": 151645},
}


def tensors(config):
    """The tensors of a model: name → shape."""
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], hidden], "model.norm.weight": [hidden]}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = [config["vocab_size"], hidden]
    block = {"input_layernorm": [hidden], "post_attention_layernorm": [hidden], "self_attn.q_proj": [queries, hidden], "self_attn.k_proj": [keys, hidden],
             "self_attn.v_proj": [keys, hidden], "self_attn.o_proj": [hidden, queries], "mlp.gate_proj": [inner, hidden],
             "mlp.up_proj": [inner, hidden], "mlp.down_proj": [hidden, inner]}
    if config["model_type"] == "qwen3":
        block |= {"self_attn.q_norm": [head], "self_attn.k_norm": [head]}
    for layer in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in block.items()}
    return shapes


def elements(shape):
    n = 1
    for dim in shape:
        n *= dim
    return n


def narrowed(data):
    """bfloat16, cut, of float32 bytes."""
    return b"".join(data[at + 2 : at + 4] for at in range(0, len(data), 4))


def write_weights(path, shapes, dtype="float32"):
    """A safetensors file: the header's length, the header, and the tensors one after the other."""
    stored, width, as_stored = {"float32": ("F32", 4, bytes), "bfloat16": ("BF16", 2, narrowed)}[dtype]
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": stored, "shape": shape, "data_offsets": [end, end + width * elements(shape)]}
        end += width * elements(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = random.Random(0)
    block = as_stored(array.array("f", (rng.gauss(0, DEVIATION) for _ in range(PERIOD))).tobytes())
    at = 0
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in shapes.values():
            left = width * elements(shape)
            if len(shape) == 1:
                file.write(as_stored(array.array("f", [1]).tobytes()) * shape[0])
                left = 0
            while left:
                part = block[at : at + left]
                file.write(part)
                left, at = left - len(part), (at + len(part)) % len(block)


def write_words(out, vocabulary):
    """A tokenizer of words: <unk>, <eos>, w2, w3, …"""
    special = lambda i, text: {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [special(0, "<unk>"), special(1, "<eos>")],
                 "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
                 "model": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<unk>": 0, "<eos>": 1} | {f"w{i}": i for i in range(2, vocabulary)}}}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "<eos>", "pad_token": "<eos>"}
    (out / "tokenizer.json").write_text(json.dumps(tokenizer))
    (out / "tokenizer_config.json").write_text(json.dumps(config))


def unpack_tokenizer(packed, out):
    """A packed NAME.tokenizer.json.gz and the NAME.tokenizer_config.json beside it."""
    (out / "tokenizer.json").write_bytes(gzip.decompress(packed.read_bytes()))
    (out / "tokenizer_config.json").write_bytes((packed.parent / packed.name.replace("tokenizer.json.gz", "tokenizer_config.json")).read_bytes())


def write_model(shape, out, tokenizer=None):
    out.mkdir(parents=True, exist_ok=True)
    config = SHAPES[shape]
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if tokenizer:
        unpack_tokenizer(tokenizer, out)
    else:
        write_words(out, config["vocab_size"])
    write_weights(out / "model.safetensors", tensors(config), config["dtype"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, help="NAME.tokenizer.json.gz; NAME.tokenizer_config.json lies beside it")
    args = parser.parse_args()
    write_model(args.shape, args.out, args.tokenizer)


if __name__ == "__main__":
    main()
