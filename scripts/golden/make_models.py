"""Writes tiny models with random weights to testdata/models: lively enough (wide initial weights, biases that are not
zero, norms that are not one) that a wrong computation shows. Configurations are in both generations of keys."""
import json
import pathlib
import shutil
import sys
import zlib

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

import tokenizer

SHAPE = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": tokenizer.VOCAB, "hidden_size": 32,
         "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu",
         "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True,
         "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
OLD = {"rope_theta": 10000.0, "rope_scaling": None, "torch_dtype": "float32"}
NEW = {"dtype": "float32", "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}


def of(name, model_type):
    """The same shape of another class, without what only Llama may be asked for."""
    return {k: v for k, v in SHAPE.items() if k not in ("attention_bias", "mlp_bias")} | {"architectures": [name], "model_type": model_type}


# name: (its configuration, whether its tokenizer puts BOS). Windows are shorter than the sequences of make_gradients.py.
MODELS = {
    "tiny-llama": (SHAPE | NEW, True),
    "tiny-llama-untied": (SHAPE | OLD | {"num_key_value_heads": 4, "num_hidden_layers": 3, "attention_bias": True, "mlp_bias": True,
                                         "tie_word_embeddings": False}, False),
    "tiny-llama-rope3": (SHAPE | NEW | {"rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
                                                            "high_freq_factor": 4.0, "original_max_position_embeddings": 128}}, True),
    "tiny-llama-linear": (SHAPE | OLD | {"rope_scaling": {"type": "linear", "factor": 4.0}}, True),
    "tiny-llama-dynamic": (SHAPE | OLD | {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 16}, True),
    "tiny-mistral": (of("MistralForCausalLM", "mistral") | OLD | {"head_dim": 12, "sliding_window": 5}, True),
    "tiny-qwen2": (of("Qwen2ForCausalLM", "qwen2") | OLD | {
        "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}, "use_sliding_window": True, "sliding_window": 8,
        "max_window_layers": 1}, False),
    "tiny-qwen3": (of("Qwen3ForCausalLM", "qwen3") | NEW | {
        "head_dim": 16, "num_hidden_layers": 3, "attention_bias": True, "tie_word_embeddings": False, "use_sliding_window": True, "sliding_window": 4,
        "max_window_layers": 3, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}, False),
}
# The weights of tiny-llama in other forms.
TYPES = {"tiny-llama-bf16": torch.bfloat16, "tiny-llama-f16": torch.float16}
SHARDS = "tiny-llama-sharded"


def weights(config):
    """Random weights under the names of the file, each tensor from a generator of its own."""
    model = AutoModelForCausalLM.from_config(config)
    tied = ["lm_head.weight"] if config.tie_word_embeddings else []
    out = {}
    for name, value in model.state_dict().items():
        if name in tied:
            continue
        draw = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(value.shape))
        mean, std = (0 if config.model_type.startswith("gemma") else 1, 0.2) if value.dim() == 1 and name.endswith("weight") else (0, 0.1) if name.endswith("bias") else (0, 0.3) if "embed" in name else (0, 0.16)
        out[name] = torch.from_numpy((mean + std * draw).astype(np.float32))
    return out


def write_config(directory, fields):
    (directory / "config.json").write_text(json.dumps(fields, indent=2) + "\n")


def write_shards(directory, tensors):
    """In three files, with the index that names them."""
    names = sorted(tensors)
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": {}}
    for i in range(3):
        shard = f"model-{i + 1:05}-of-00003.safetensors"
        save_file({n: tensors[n] for n in names[i::3]}, directory / shard, metadata={"format": "pt"})
        index["weight_map"] |= {n: shard for n in names[i::3]}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def fresh(directory):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def main(out):
    for name, (fields, bos) in MODELS.items():
        directory = fresh(out / name)
        write_config(directory, fields)
        tokenizer.write(directory, bos)
        save_file(weights(AutoConfig.from_pretrained(directory)), directory / "model.safetensors", metadata={"format": "pt"})
    tensors = weights(AutoConfig.from_pretrained(out / "tiny-llama"))
    for name, dtype in TYPES.items():
        directory = fresh(out / name)
        write_config(directory, SHAPE | NEW | {"dtype": str(dtype).removeprefix("torch.")})
        tokenizer.write(directory, True)
        save_file({n: t.to(dtype) for n, t in tensors.items()}, directory / "model.safetensors", metadata={"format": "pt"})
    directory = fresh(out / SHARDS)
    write_config(directory, SHAPE | NEW)
    tokenizer.write(directory, True)
    write_shards(directory, tensors)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) / "models")
