"""Writes adapters of the tiny models, made and saved by PEFT, to testdata/adapters, and what PyTorch computes with them to testdata/golden.

adapters/<name>: an adapter whose B is not zero, and whose magnitudes are not the weights' own. golden/<name>.adapter.json: of each completion of
the base's groups (see make_gradients.py) the log-probability in float64 and float32. golden/<name>.adapter.safetensors: the gradient of
Σ weight·logp by the adapter's parameters, float64, under the names of adapter_model.safetensors.
"""
import json
import pathlib
import shutil
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

import lifted
import make_gradients

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS = {
    "tiny-llama-lora": ("tiny-llama", dict(r=2, lora_alpha=8, target_modules=LAYERS + ["embed_tokens", "lm_head"])),
    "tiny-qwen2-rslora": ("tiny-qwen2", dict(r=4, lora_alpha=4, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"],
                                             rank_pattern={"q_proj": 2}, alpha_pattern={"down_proj": 3})),
    "tiny-qwen2-dora": ("tiny-qwen2", dict(r=2, lora_alpha=4, use_dora=True, target_modules="all-linear")),
    "tiny-llama-untied-dora": ("tiny-llama-untied", dict(r=3, lora_alpha=6, use_dora=True, target_modules=["v_proj", "up_proj", "lm_head"])),
    "tiny-mistral-layers": ("tiny-mistral", dict(r=1, lora_alpha=2, target_modules=r".*layers\.1\..*(q|up)_proj")),
    "tiny-llama-sft": ("tiny-llama", dict(r=4, lora_alpha=8, target_modules=LAYERS)),
    "tiny-qwen3-sft-dora": ("tiny-qwen3", dict(r=4, lora_alpha=8, use_dora=True, target_modules=LAYERS)),
    "tiny-gpt2-lora": ("tiny-gpt2", dict(r=2, lora_alpha=8, fan_in_fan_out=True, target_modules=["c_attn", "c_proj", "c_fc", "wte"])),
    "tiny-gpt2-dora": ("tiny-gpt2", dict(r=2, lora_alpha=4, use_dora=True, fan_in_fan_out=True, target_modules=["c_attn", "c_proj", "c_fc"])),
    "tiny-gemma2-lora": ("tiny-gemma2", dict(r=2, lora_alpha=6, target_modules=LAYERS + ["embed_tokens"])),
}
PREFIX = "base_model.model."


def stored(name):
    """The name of a parameter in adapter_model.safetensors."""
    return name.replace(".default.weight", ".weight").replace(".default", "").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def make(name, models, out):
    base, config = ADAPTERS[name]
    torch.manual_seed(len(name))
    model = AutoModelForCausalLM.from_pretrained(models / base, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **config))
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_magnitude" in key:
                p.mul_(1 + 0.1 * torch.randn_like(p))
            elif "lora_" in key:
                p.add_(0.05 * torch.randn_like(p))
    shutil.rmtree(out / name, ignore_errors=True)
    model.save_pretrained(out / name, save_embedding_layers=False)
    (out / name / "README.md").unlink()
    path = out / name / "adapter_config.json"
    fields = json.loads(path.read_text())
    fields["base_model_name_or_path"] = f"../../models/{base}"
    if isinstance(fields["target_modules"], list):
        fields["target_modules"].sort()
    path.write_text(json.dumps(fields, indent=1, sort_keys=True) + "\n")


def load(name, models, adapters, dtype):
    base = lifted.load(models / ADAPTERS[name][0]) if dtype == torch.float64 else AutoModelForCausalLM.from_pretrained(
        models / ADAPTERS[name][0], dtype=dtype).eval()
    model = PeftModel.from_pretrained(base, adapters / name, is_trainable=True, autocast_adapter_dtype=False).to(dtype).eval()
    return model, model.get_base_model()


def main(testdata):
    models, adapters, golden = testdata / "models", testdata / "adapters", testdata / "golden"
    for name, (base, _) in ADAPTERS.items():
        make(name, models, adapters)
        batches = json.loads((golden / f"{base}.json").read_text())["batches"]
        whole, exact = load(name, models, adapters, torch.float64)
        _, plain = load(name, models, adapters, torch.float32)
        logps, total = [], 0
        for prompt, c in make_gradients.sequences(batches):
            logp = make_gradients.exact(exact, prompt, c)
            total = total + c["weight"] * logp.sum()
            with torch.no_grad():
                logps.append({"token_logps": logp.tolist(), "token_logps32": make_gradients.token_logps(plain, prompt, c).tolist()})
        with lifted.lifted():
            total.backward()
        grads = {stored(key): p.grad.contiguous() for key, p in whole.named_parameters() if p.requires_grad}
        assert grads and all(PREFIX in key for key in grads)
        save_file(grads, golden / f"{name}.adapter.safetensors")
        (golden / f"{name}.adapter.json").write_text(json.dumps({"base": base, "completions": logps}) + "\n")
        print(name, len(grads), "tensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(pathlib.Path(sys.argv[1]))
