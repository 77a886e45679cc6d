"""float64 that is: transformers casts to float32 inside RMSNorm, softmax and rotary embeddings, whatever the model's type.

Within lifted(), torch.float32 and torch.float name float64, and Tensor.float() is Tensor.double(). All of those casts look
the names up when they run, so they become no-ops, in any architecture. The rotary frequencies, made in float32 when a model
is built, are made anew. An operation that gives a float32 tensor all the same is an error, so nothing can slip through.
"""
import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM

FLOAT32 = torch.float32


class NoFloat32(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if any(isinstance(t, torch.Tensor) and t.dtype == FLOAT32 for t in tree_leaves(out)):
            raise TypeError(f"{func} gave float32")
        return out


@contextlib.contextmanager
def lifted():
    kept = torch.float32, torch.float, torch.Tensor.float, torch.get_default_dtype()
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        with NoFloat32():
            yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = kept[:3]
        torch.set_default_dtype(kept[3])


def load(directory):
    """The model in float64, to be run within lifted()."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=FLOAT32, attn_implementation="eager").double().eval()
    renew_rotary(model)
    return model


def renew_rotary(model):
    """Rotary embeddings with float64 frequencies that have seen no sequence yet (dynamic scaling remembers the longest), and what else a model
    keeps in float32 buffers: GPT-J's tables of sines, and the scale of Gemma's embedding."""
    with lifted():
        backbone = model.base_model
        if hasattr(backbone, "rotary_emb"):
            backbone.rotary_emb = type(backbone.rotary_emb)(config=model.config)
        for module in model.modules():
            if hasattr(module, "scalar_embed_scale"):
                module.embed_scale = torch.tensor(module.scalar_embed_scale)
            if hasattr(module, "embed_positions") and isinstance(module.embed_positions, torch.Tensor):
                from transformers.models.gptj.modeling_gptj import create_sinusoidal_positions
                module.embed_positions = create_sinusoidal_positions(module.max_positions, module.pos_embd_dim)
