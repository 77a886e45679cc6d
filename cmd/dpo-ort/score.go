package main

import (
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/dpo"
)

type scoreFlags struct {
	dpo.ScoreConfig
	files dpo.ScoreFiles
	shard string
	talk  talk

	template string
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
in error, and the others are scored; --strict ends at the first such row instead.

The same input gives the same bytes. Until the output is whole, results are kept in OUT.parts: after Ctrl-C or a crash the
same command goes on from there, to the same bytes. --shard i/n scores one of n ranges of the rows, each into its own --out;
one after the other they hold what a single job would. train takes the ref_ columns of the output as its reference.`,
		Example: `  dpo-ort score --model aligned --ref models/llama --data pairs.parquet --out scored.parquet
  dpo-ort score --model models/llama --data answers.jsonl --columns prompt=question,completion=answer --out scored.parquet
  dpo-ort score --model models/llama --data 'big/*.parquet' --shard 2/8 --out scored-2.parquet`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runScore(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Model, "model", "", "Hugging Face directory of the model")
	f.StringVar(&o.Ref, "ref", "", "directory of the reference; without it there are no rewards")
	f.StringSliceVar(&o.files.Data, "data", nil, "Parquet, JSONL or JSON files with the same columns")
	f.StringVar(&o.files.Out, "out", "", "Parquet file to write")
	bindColumns(f, &o.files.Columns, "prompt=question,chosen=good")
	f.StringVar(&o.shard, "shard", "", "score one of n contiguous ranges of the rows: i/n, i from 1 to n")
	f.Float64Var(&o.Beta, "beta", 0.1, "factor of the reward")
	f.IntVar(&o.MaxLength, "max-length", 0, "most tokens of a prompt and its longest answer together; 0: no bound")
	f.IntVar(&o.MaxPromptLength, "max-prompt-length", 256, "what a prompt is cut to where max-length is exceeded")
	f.StringVar(&o.Truncate, "truncate", "prompt", "what exceeds max-length loses: prompt (its start, then the answers' ends) or end")
	f.StringVar(&o.EOS, "eos", "add", "end each answer with EOS (add), or take it as it is (keep)")
	bindTemplate(f, &o.template)
	f.BoolVar(&o.files.Strict, "strict", false, "stop at the first row that cannot be scored")
	f.BoolVar(&o.files.Overwrite, "overwrite", false, "replace --out, columns that the input has already, and parts of another job")
	f.IntVar(&o.MicroBatch, "micro-batch", 0, "most rows of a micro-batch; 0: as many as make 1,024 tokens, of models of over 268 million parameters 4,096, on a GPU 32,768")
	f.IntVar(&o.Threads, "threads", 0, "threads; 0: one a core. Up to eight micro-batches are computed side by side, and the threads shared out among them")
	f.StringVar(&o.Device, "device", "cpu", "cpu, or cuda:0")
	f.StringVar(&o.DType, "dtype", "float32", dtypeUsage())
	f.StringVar(&o.Offload, "offload", "", "what a GPU leaves in the host's memory: parameters (a layer's weights come as it runs)")
	f.BoolVar(&o.TF32, "tf32", false, tf32Usage)
	bindLimits(f)
	o.talk.bind(f)
	return cmd
}

func runScore(cmd *cobra.Command, o scoreFlags) error {
	if err := checkScore(&o); err != nil {
		return err
	}
	stopping.keeps(keptParts(o.files.Out))
	tok, err := tokenizerWith(o.Model, o.template)
	if err != nil {
		return err
	}
	defer tok.Close()
	start := time.Now()
	progress := o.talk.progress(cmd.ErrOrStderr())
	var last dpo.ScoreEvent
	known := int64(0) // tokens of rows that were scored before
	for e, err := range dpo.Score(cmd.Context(), o.ScoreConfig, tok, o.files) {
		if err != nil {
			progress.end()
			return err
		}
		if last = e; e.Rows == e.Resumed && e.Warnings == nil {
			known = e.Tokens
			progress.say("resumed   after %d rows\n", e.Resumed)
		}
		progress.show(dpo.Event{Phase: "score", Done: int(e.Rows), Total: int(e.Total)})
	}
	progress.end()
	seconds := time.Since(start).Seconds()
	text := fmt.Sprintf("scored    %d rows, %d tokens in %s (%.0f tokens/s)\n", last.Rows-last.Resumed, last.Tokens-known, duration(seconds),
		float64(last.Tokens-known)/seconds)
	if last.Failed > 0 {
		text += fmt.Sprintf("failed    %d rows: column error says why\n", last.Failed)
	}
	return o.talk.result(cmd.OutOrStdout(), last, text+fmt.Sprintf("written   %s\n", o.files.Out)+warningLines(last.Warnings))
}

// checkScore refuses what makes no sense, and reads the shard.
func checkScore(o *scoreFlags) (err error) {
	if o.shard != "" {
		if o.files.Shard, err = dpo.ParseShard(o.shard); err != nil {
			return err
		}
	}
	if err := checkColumns(o.files.Columns); err != nil {
		return err
	}
	switch {
	case o.Model == "":
		return dpo.Usage("model is missing: name a Hugging Face model directory")
	case len(o.files.Data) == 0:
		return dpo.Usage("data is missing: name a Parquet or JSONL file")
	case o.files.Out == "":
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
