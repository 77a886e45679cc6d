"""Times steps of TRL's DPOTrainer in float32 and prints them as JSON: seconds of each step, and peak memory in bytes.

    python bench/trl_step.py --model DIR --pairs FILE --max-length 256 --steps 7

Four pairs a step, AdamW, the reference's log-probs computed before, no checkpointing, as many threads as cores.
"""
import argparse, json, os, resource, tempfile, time

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer


class Clock(TrainerCallback):
    seconds = []

    def on_step_begin(self, *args, **kwargs):
        self.start = time.perf_counter()

    def on_step_end(self, *args, **kwargs):
        self.seconds.append(time.perf_counter() - self.start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--steps", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    rows = load_dataset("json", data_files=args.pairs, split="train").select(range(4 * args.steps))
    with tempfile.TemporaryDirectory() as out:
        config = DPOConfig(output_dir=out, per_device_train_batch_size=4, max_steps=args.steps, max_length=args.max_length, learning_rate=1e-6,
                           bf16=False, gradient_checkpointing=False, precompute_ref_log_probs=True, optim="adamw_torch", report_to=[],
                           save_strategy="no", logging_strategy="no", use_cpu=True, dataloader_pin_memory=False, disable_tqdm=True)
        clock = Clock()
        DPOTrainer(model=AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32), args=config, train_dataset=rows,
                   processing_class=AutoTokenizer.from_pretrained(args.model), callbacks=[clock]).train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"step_seconds": clock.seconds, "peak_memory_bytes": peak}))


if __name__ == "__main__":
    main()
