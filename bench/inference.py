#!/usr/bin/env python3
"""Tokens a second of models for inference by ONNX Runtime GenAI: greedy text after a short prompt, one sequence at a time.

    $(scripts/interop-onnx) bench/inference.py FOLDER...

The folders, as dpo-ort export --for inference writes them, take turns, so that what else runs on the machine meets all alike. The
median of the rounds is printed, for each with its least and its most, and the size of the weights."""

import argparse
import os
import statistics
import time

import numpy
import onnxruntime_genai as genai


def speed(model, prompt, tokens):
    params = genai.GeneratorParams(model)
    params.set_search_options(max_length=len(prompt) + tokens, min_length=len(prompt) + tokens, do_sample=False)
    generator = genai.Generator(model, params)
    generator.append_tokens(numpy.array(prompt, dtype=numpy.int32))
    generator.generate_next_token()  # the first belongs to the prompt
    start = time.perf_counter()
    for _ in range(tokens - 1):
        generator.generate_next_token()
    return (tokens - 1) / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    models = {folder: genai.Model(folder) for folder in args.folders}
    measured = {folder: [] for folder in args.folders}
    prompt = list(range(5, 21))
    for model in models.values():
        speed(model, prompt, 8)
    for _ in range(args.rounds):
        for folder, model in models.items():
            measured[folder].append(speed(model, prompt, args.tokens))
    print(f"ONNX Runtime GenAI {genai.__version__}, {args.tokens} tokens after {len(prompt)}, {args.rounds} rounds, {os.cpu_count()} cores")
    print("| folder | weights, MiB | tokens/s | least | most |\n| --- | --- | --- | --- | --- |")
    for folder, rates in measured.items():
        size = os.path.getsize(os.path.join(folder, "model.onnx.data")) / 2**20
        print(f"| {os.path.basename(os.path.normpath(folder))} | {size:.1f} | {statistics.median(rates):.1f} | {min(rates):.1f} | {max(rates):.1f} |")


if __name__ == "__main__":
    main()
