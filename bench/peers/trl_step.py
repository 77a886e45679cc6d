"""Times steps of TRL's DPOTrainer and prints them as JSON: {"step_seconds": […]}.

    python bench/peers/trl_step.py --model DIR --pairs FILE --max-length 256 --steps 7 [--precision bf16] [--lora-rank 16]

AdamW, the reference's log-probs computed before, no checkpointing, as many threads as cores, the pairs in the order of the file.
"""
import argparse, json, os, tempfile, time

import torch
from datasets import load_dataset
from peft import LoraConfig
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
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    parser.add_argument("--lora-rank", type=int, default=0, help="train a LoRA adapter of all linear layers, by PEFT")
    args = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as out:
        rows = load_dataset("json", data_files=args.pairs, split="train", cache_dir=out)
        config = DPOConfig(output_dir=out, per_device_train_batch_size=args.batch, max_steps=args.steps, max_length=args.max_length, learning_rate=1e-6,
                           bf16=args.precision == "bf16", gradient_checkpointing=False, precompute_ref_log_probs=True, optim="adamw_torch_fused",
                           train_sampling_strategy="sequential", report_to=[], save_strategy="no", logging_strategy="no", use_cpu=True,
                           dataloader_pin_memory=False, disable_tqdm=True)
        clock = Clock()
        adapter = LoraConfig(r=args.lora_rank, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM") if args.lora_rank else None
        DPOTrainer(model=AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32), args=config, train_dataset=rows,
                   processing_class=AutoTokenizer.from_pretrained(args.model), callbacks=[clock], peft_config=adapter).train()
    print(json.dumps({"step_seconds": clock.seconds}))


if __name__ == "__main__":
    main()
