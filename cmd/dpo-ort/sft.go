package main

import (
	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/models"
)

func init() { register(newSFT) }

func newSFT() *cobra.Command {
	o := trainFlags{objective: dpo.Likelihood}
	var config, tokenizer string
	cmd := &cobra.Command{
		Use:   "sft",
		Short: "Train a model on answers by themselves, by maximum likelihood",
		Long: `sft trains by supervised fine-tuning, on prompt and completion, whose prompt may be empty, or on text; with --on chosen, on the best
answer of each pair or ranking: the DPO paper's Preferred-FT, and its reference where there is no other. The loss is -log pi averaged
over the answers' tokens of a step, prompts are not learnt. Of a conversation (messages) the last turn is the answer; with --assistant-turns all,
all is learnt that the chat template marks as the assistant's ({% generation %}). An answer whose finish_reason is length gets no EOS.

With --init it begins with random weights for a config.json, drawn from --seed and kept under run/init; --tokenizer names the
tokenizer.json to go with it, if none lies beside it. Random weights want a higher rate: --lr 1e-3 for small models.

What it leaves, and how it is stopped and goes on, is train's; metrics.jsonl has the loss alone. Defaults are those of TRL's SFTTrainer
in optimizer, rate, clipping and lengths, and the paper's in batch and epochs.`,
		Example: `  dpo-ort sft --model models/llama --data answers.parquet --out sft
  dpo-ort sft --model models/llama --data pairs.parquet --on chosen --out preferred
  dpo-ort sft --init config.json --tokenizer models/llama --data corpus.parquet --lr 1e-3 --out small
  dpo-ort sft --model models/llama --data talks.parquet --assistant-turns all --out sft
  dpo-ort sft --resume --out sft`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.initial = func(c *dpo.Config) (func(dir string) error, error) { return begin(c, config, tokenizer) }
			return runTrain(cmd, o)
		},
	}
	f := cmd.Flags()
	o.bindSettings(f)
	f.Lookup("data").Usage = "answers (with --on chosen, preferences): Parquet, JSONL or JSON files, globs or folders"
	f.Lookup("eval-data").Usage = "held-out data of the same kind"
	f.Lookup("batch").Usage = "rows a step"
	f.Lookup("micro-batch").Usage = "most rows computed at once; 0: what fits, up to 4,096 tokens"
	f.Lookup("seed").Usage = "seed of the data's order, and of random weights"
	f.StringVar(&config, "init", "", "begin with random weights for this config.json, or that of a folder, instead of --model")
	f.StringVar(&tokenizer, "tokenizer", "", "with --init: tokenizer.json, or a folder with one (default: beside the config.json)")
	o.bind(f)
	return cmd
}

// begin has the run begin with random weights or with a new adapter, where that is asked for.
func begin(c *dpo.Config, config, tokenizer string) (func(dir string) error, error) {
	if config != "" && c.Adapter != "" {
		return nil, dpo.Usage("init begins with random weights, which an adapter leaves as they are: leave out --adapter")
	}
	if write, err := randomModel(c, config, tokenizer); write != nil || err != nil {
		return write, err
	}
	return c.NewAdapter()
}

// randomModel has the run begin with random weights, where that is asked for.
func randomModel(c *dpo.Config, config, tokenizer string) (func(dir string) error, error) {
	switch {
	case config == "" && tokenizer == "":
		return nil, nil
	case config == "":
		return nil, dpo.Usage("tokenizer is for --init; a model directory has its own")
	case c.Model != "":
		return nil, dpo.Usage("init begins with random weights, --model %s with those there: give one of them", c.Model)
	}
	c.Model = c.Initial()
	return func(dir string) error { return models.WriteInitial(dir, config, tokenizer, c.Seed) }, nil
}
