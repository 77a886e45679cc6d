package main

import (
	"math"
	"time"

	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/dpo"
)

// bindJudge declares the settings of judges as flags over o.
func bindJudge(f *pflag.FlagSet, o *dpo.JudgeOptions) {
	f.DurationVar(&o.Timeout, "judge-timeout", time.Minute, "how long a program may take to reply to an answer, its start included")
	f.IntVar(&o.Restarts, "judge-restarts", 3, "how often a program is started again for one answer")
	f.StringSliceVar(&o.Columns, "judge-columns", nil, "columns of the row that a program gets beside prompt and completion")
	f.BoolVar(&o.PerToken, "per-token", false, "loglik is the mean over tokens, not the sum")
	f.Float64Var(&o.Score.Beta, "beta", 0.1, "factor of the implicit reward")
	f.IntVar(&o.Score.MaxLength, "max-length", 0, "models: most tokens of a prompt and its longest answer together; 0: no bound")
	f.IntVar(&o.Score.MaxPromptLength, "max-prompt-length", 256, "models: what a prompt is cut to where max-length is exceeded")
	f.StringVar(&o.Score.Truncate, "truncate", "prompt", "models: what exceeds max-length loses: prompt (its start, then the answers' ends) or end")
	f.StringVar(&o.Score.EOS, "eos", "add", "models: end each answer that was not cut with EOS (add), or take it as it is (keep)")
	f.IntVar(&o.Score.MicroBatch, "micro-batch", 0, "models: most rows of a micro-batch; 0: as score has it")
	f.IntVar(&o.Score.Threads, "threads", 0, "models: threads; 0: one a core")
	f.StringVar(&o.Score.Device, "device", "cpu", "models: cpu, or cuda:0")
}

// checkJudge refuses settings that make no sense.
func checkJudge(o dpo.JudgeOptions) error {
	c := o.Score
	switch {
	case o.Timeout <= 0 || o.Restarts < 0:
		return dpo.Usage("judge-timeout must be positive, judge-restarts not negative")
	case !(c.Beta > 0) || math.IsInf(c.Beta, 0):
		return dpo.Usage("beta must be positive, it is %v", c.Beta)
	case c.MaxLength < 0 || c.MaxLength == 1 || c.MaxPromptLength < 1 || c.MicroBatch < 0 || c.Threads < 0:
		return dpo.Usage("max-length must be 0 or at least 2, max-prompt-length at least 1, micro-batch and threads not negative")
	}
	if err := dpo.OneOf("eos", c.EOS, []string{"add", "keep"}); err != nil {
		return err
	}
	return dpo.OneOf("truncate", c.Truncate, []string{"prompt", "end"})
}
