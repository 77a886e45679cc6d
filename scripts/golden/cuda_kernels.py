"""Writes testdata/golden/cuda-kernels.txt: which operators the CUDA provider of the pinned ONNX Runtime has kernels for, and of which
types, as the library itself lists them. Needs a machine with a GPU, and onnxruntime-gpu in Python.

    python3 scripts/golden/cuda_kernels.py libonnxruntime_providers_cuda.so > testdata/golden/cuda-kernels.txt

A line is domain (- for ONNX's own), operator, first and last opset, and its kernels: the types that one takes, joined by +. Kernels of
opsets that ended before 13 are left out, and those whose types another's include.
"""
import sys

import onnxruntime.capi.onnxruntime_pybind11_state as runtime

NAME = "CUDAExecutionProvider"


def kernels():
    runtime.register_execution_provider_library(NAME, sys.argv[1])
    for kernel in runtime.get_registered_ep_kernel_defs(NAME):
        types = {of[len("tensor(") : -1] for list in kernel.type_constraints.values() for of in list if of.startswith("tensor(")}
        yield kernel.domain or "-", kernel.op_name, *kernel.version_range, frozenset(types)


def main():
    table = {}
    for domain, op, first, last, types in kernels():
        if last >= 13:
            table.setdefault((domain, op, first, last), set()).add(types)
    for key in sorted(table):
        largest = [types for types in table[key] if not any(types < other for other in table[key])]
        print(*key, *sorted("+".join(sorted(types)) for types in largest))


main()
