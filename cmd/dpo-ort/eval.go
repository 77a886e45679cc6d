package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/dpo"
)

type evalFlags struct {
	dpo.EvalConfig
	out, template string
	talk          talk
}

func init() { register(newEval) }

func newEval() *cobra.Command {
	o := evalFlags{EvalConfig: dpo.EvalConfig{Judge: dpo.JudgeOptions{Tokenizer: openTokenizer}}}
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "Measure a model: reward accuracy, KL, expected reward, win rate",
		Long: `eval measures a model on preferences, on prompts, or on both, and gives means with standard errors.

On preferences (--data): how often the better answer of a pair has the higher reward (of rankings: of all their pairs), the margin, the
log-loss and calibration of sigmoid(margin), and accuracy by the length of the longest answer. The reward is the implicit one, that of a
reward model, or without --ref the log-probability.

On prompts (--prompts): the model's own answers at temperature 1; with --ref the divergence KL(pi||pi_ref), the mean over answers of
log pi(y|x) - log pi_ref(y|x), in nats; with --reward the expected reward; with --against the share of answers that are better than another
model's, or than those in a column, as --contest decides or the reward does, a tie being a half; with --best-of the reward of the best
of N of the reference's answers, at log N - (N-1)/N nats at most. Answers to one prompt are alike, so standard errors are over prompts.

OUT gets eval.json, scored.parquet with the scored preferences, and samples.parquet with the answers. What was stopped in any way
goes on with the same command.

Rewards:
` + dpo.JudgesText() + `
Contests: compare:PROGRAM is asked about two answers, twice, with their places changed; or any reward.`,
		Example: `  dpo-ort eval --model aligned --ref models/llama --data held-out.parquet --out eval
  dpo-ort eval --model aligned --ref models/llama --prompts fresh.parquet --reward lexicon:vader_lexicon.txt --best-of 1,4,16 --out eval
  dpo-ort eval --model aligned --prompts fresh.parquet --against models/llama --contest 'compare:python3 judge.py' --out eval`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runEval(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Model, "model", "", "Hugging Face directory of the model")
	f.StringVar(&o.Ref, "ref", "", "directory of the reference")
	f.StringSliceVar(&o.Data, "data", nil, "preferences: Parquet, JSONL or JSON files with the same columns")
	f.StringSliceVar(&o.Prompts, "prompts", nil, "prompts: the same")
	f.StringVar(&o.out, "out", "", "folder to write")
	bindColumns(f, &o.Names, "prompt=question")
	bindTemplate(f, &o.template)
	f.IntVar(&o.Samples, "samples", 4, "answers to each prompt")
	f.IntVar(&o.MaxTokens, "max-tokens", 256, "most tokens of an answer")
	f.Int64Var(&o.Seed, "seed", 0, "seed of the answers")
	f.StringVar(&o.Reward, "reward", "", "what answers are judged by: see above")
	f.StringVar(&o.Against, "against", "", "whose answers they are compared with: a model directory, or column:NAME of the prompts")
	f.StringVar(&o.Contest, "contest", "", "what decides between two answers (default: the reward)")
	f.IntSliceVar(&o.BestOf, "best-of", nil, "choose the best of so many of the reference's answers, for comparison: 1,4,16")
	bindJudge(f, &o.Judge)
	bindLimits(f)
	o.talk.bind(f)
	return cmd
}

func runEval(cmd *cobra.Command, o evalFlags) error {
	if err := checkColumns(o.Names); err != nil {
		return err
	}
	if o.out == "" {
		return dpo.Usage("out is missing: name the folder to write")
	}
	if err := checkJudge(o.Judge); err != nil {
		return err
	}
	o.Beta, o.Threads, o.Device = o.Judge.Score.Beta, o.Judge.Score.Threads, o.Judge.Score.Device
	if err := o.Check(); err != nil {
		return err
	}
	stopping.keeps(keptIn(o.out))
	tok, err := tokenizerWith(o.Model, o.template)
	if err != nil {
		return err
	}
	defer tok.Close()
	progress := o.talk.progress(cmd.ErrOrStderr())
	for e, err := range dpo.Eval(cmd.Context(), o.EvalConfig, tok, o.out) {
		if err != nil {
			progress.end()
			return err
		}
		progress.show(e)
	}
	progress.end()
	file := filepath.Join(o.out, "eval.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var r dpo.EvalResult
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	return o.talk.result(cmd.OutOrStdout(), r, evalText(r)+"written   "+file+"\n")
}

// evalText is the table of what was measured.
func evalText(r dpo.EvalResult) string {
	var b strings.Builder
	row := func(name string, m dpo.Mean) {
		low, high := m.Interval()
		fmt.Fprintf(&b, "%-34s %9.4f   [%.4f, %.4f]\n", name, m.Mean, low, high)
	}
	fmt.Fprintf(&b, "%-34s %9s   95%% interval\n", "", "mean")
	if p := r.Preferences; p != nil {
		row(fmt.Sprintf("accuracy, %d groups", p.Groups), p.Accuracy)
		row("margin", p.Margin)
		row("log-loss", p.LogLoss)
		fmt.Fprintf(&b, "%-34s %9.4f\n", "calibration error", p.ECE)
		for _, l := range p.Lengths {
			name := fmt.Sprintf("  accuracy up to %d tokens", l.Most)
			if l.Most == 0 {
				name = "  accuracy of longer answers"
			}
			row(name, l.Accuracy)
		}
		if p.Failed > 0 {
			fmt.Fprintf(&b, "failed    %d rows: column error of scored.parquet says why\n", p.Failed)
		}
	}
	if a := r.Answers; a != nil {
		b.WriteString(answersText(a, row))
	}
	return b.String()
}

func answersText(a *dpo.AnswerEval, row func(string, dpo.Mean)) string {
	for _, m := range []struct {
		name string
		mean *dpo.Mean
	}{{"KL from the reference, nats", a.KL}, {"reward", a.Reward}, {"win rate", a.WinRate}} {
		if m.mean != nil {
			row(m.name, *m.mean)
		}
	}
	row(fmt.Sprintf("tokens of %d answers", a.Answers), a.Tokens)
	for _, p := range a.Baseline {
		row(fmt.Sprintf("reward of the best of %d, %.2f nats", p.N, p.KL), p.Reward)
	}
	text := fmt.Sprintf("%-34s %9.4f\n", "share of answers cut by length", a.Cut)
	if a.Failed > 0 {
		text += fmt.Sprintf("failed    %d prompts: column error of samples.parquet says why\n", a.Failed)
	}
	return text
}
