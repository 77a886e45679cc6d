package main

import (
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/dpo"
)

type scoreFlags struct {
	dpo.ScoreConfig
	data      []string
	out       string
	overwrite bool
	talk      talk
}

func init() { register(newScore) }

func newScore() *cobra.Command {
	var o scoreFlags
	cmd := &cobra.Command{
		Use:   "score",
		Short: "Add log-probabilities and implicit rewards to a Parquet file",
		Long: `score computes log pi(y|x) of every answer under a model, under a reference, and the implicit reward
beta·(log pi - log pi_ref). The output keeps all columns of the input and adds, for pairs, policy_chosen_logps,
policy_rejected_logps, ref_chosen_logps, ref_rejected_logps, chosen_rewards, rejected_rewards, reward_margins,
chosen_tokens, rejected_tokens, truncated, gradient_weight (how wrongly the pair is still ordered, from 0 to 1) and error;
rankings get lists, single answers numbers: policy_logps, ref_logps, rewards, tokens. A row that cannot be scored says why
in error, and the others are scored. The same input gives the same bytes.`,
		Example: `  dpo-ort score --model aligned --ref models/llama --data pairs.parquet --out scored.parquet
  dpo-ort score --model models/llama --data answers.jsonl --out scored.parquet`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runScore(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Model, "model", "", "Hugging Face directory of the model")
	f.StringVar(&o.Ref, "ref", "", "directory of the reference; without it there are no rewards")
	f.StringSliceVar(&o.data, "data", nil, "Parquet, JSONL or JSON files with the same columns")
	f.StringVar(&o.out, "out", "", "Parquet file to write")
	f.Float64Var(&o.Beta, "beta", 0.1, "factor of the reward")
	f.IntVar(&o.MaxLength, "max-length", 0, "most tokens of a prompt and its longest answer together; 0: no bound")
	f.IntVar(&o.MaxPromptLength, "max-prompt-length", 256, "what a prompt is cut to where max-length is exceeded")
	f.StringVar(&o.Truncate, "truncate", "prompt", "what exceeds max-length loses: prompt (its start, then the answers' ends) or end")
	f.StringVar(&o.EOS, "eos", "add", "end each answer with EOS (add), or take it as it is (keep)")
	f.BoolVar(&o.overwrite, "overwrite", false, "replace --out, and columns that the input has already")
	f.IntVar(&o.MicroBatch, "micro-batch", 0, "most rows computed at once; 0: as many as make 4,096 tokens")
	f.IntVar(&o.Threads, "threads", 0, "threads of one operator; 0: one a core")
	f.StringVar(&o.Device, "device", "cpu", "cpu, or cuda:0")
	o.talk.bind(f)
	return cmd
}

func runScore(cmd *cobra.Command, o scoreFlags) error {
	if err := checkScore(o); err != nil {
		return err
	}
	tok, err := tokenizer.Load(o.Model)
	if err != nil {
		return err
	}
	defer tok.Close()
	start := time.Now()
	progress := o.talk.progress(cmd.ErrOrStderr())
	var last dpo.ScoreEvent
	for e, err := range dpo.Score(cmd.Context(), o.ScoreConfig, tok, o.data, o.out, o.overwrite) {
		if err != nil {
			progress.end()
			return err
		}
		last = e
		progress.show(dpo.Event{Phase: "score", Done: int(e.Rows), Total: int(e.Total)})
	}
	progress.end()
	seconds := time.Since(start).Seconds()
	text := fmt.Sprintf("scored    %d rows, %d tokens in %s (%.0f tokens/s)\n", last.Rows, last.Tokens, duration(seconds), float64(last.Tokens)/seconds)
	if last.Failed > 0 {
		text += fmt.Sprintf("failed    %d rows: column error says why\n", last.Failed)
	}
	return o.talk.result(cmd.OutOrStdout(), last, text+fmt.Sprintf("written   %s\n", o.out))
}

func checkScore(o scoreFlags) error {
	switch {
	case o.Model == "":
		return dpo.Usage("model is missing: name a Hugging Face model directory")
	case len(o.data) == 0:
		return dpo.Usage("data is missing: name a Parquet or JSONL file")
	case o.out == "":
		return dpo.Usage("out is missing: name the Parquet file to write")
	case !(o.Beta > 0) || math.IsInf(o.Beta, 0):
		return dpo.Usage("beta must be positive, it is %v", o.Beta)
	case o.MaxLength < 0 || o.MaxLength == 1 || o.MaxPromptLength < 1 || o.MicroBatch < 0 || o.Threads < 0:
		return dpo.Usage("max-length must be 0 or at least 2, max-prompt-length at least 1, micro-batch and threads not negative")
	case o.EOS != "add" && o.EOS != "keep":
		return dpo.Usage("eos must be add or keep, it is %q", o.EOS)
	case o.Truncate != "prompt" && o.Truncate != "end":
		return dpo.Usage("truncate must be prompt or end, it is %q", o.Truncate)
	}
	return nil
}
