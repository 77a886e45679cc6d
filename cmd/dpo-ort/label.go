package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo"
)

type labelFlags struct {
	dpo.LabelConfig
	files dpo.LabelFiles
	talk  talk
}

func init() { register(newLabel) }

func newLabel() *cobra.Command {
	o := labelFlags{LabelConfig: dpo.LabelConfig{Judge: dpo.JudgeOptions{Tokenizer: openTokenizer}}}
	cmd := &cobra.Command{
		Use:   "label",
		Short: "Turn sampled answers into preferences by a reward",
		Long: `label gives every answer a score and writes ranked rows, or pairs. It reads rows of a prompt and a list of answers
(completions or responses), as generate writes them; rows of one answer have nothing to be compared with.

Rewards, all of the answer and higher being better:
` + dpo.JudgesText() + `
--as ranked keeps all columns and adds scores and error. --as pairs writes prompt, chosen, rejected, chosen_score,
rejected_score, and where the data has finish_reasons those of both: all pairs, the best and the worst answer, adjacent ones in
the order of scores, or sampled: each pair once, its winner drawn with probability sigmoid(difference of scores / temperature),
as the theory of DPO has people label (Bradley-Terry). A pair of equal scores is dropped, kept in the order of the file, or
written both ways round (--ties drop, keep, average); sampled ones are drawn like the others unless --ties says otherwise. Equal
answers make no pair. All of this is counted, and OUT` + dpo.DroppedSuffix + ` lists the rows that gave no pair, or lack answers.

A program (command:) is run by the shell and asked line by line; it replies to each line in order, without waiting for the
next, and flushes. Where it ends, hangs, or prints what is no number it is started again and asked what it has not replied to.
An answer at which it fails again and again is given up and named; {"error": "why"} gives one up at once. Its stderr is shown
where it fails.

The same input gives the same bytes. Until the output is whole, scores are kept in OUT.parts: after Ctrl-C or a crash the same
command goes on from there.`,
		Example: `  dpo-ort label --data samples.parquet --reward lexicon:vader_lexicon.txt --out ranked.parquet
  dpo-ort label --data samples.parquet --reward model:reward --as pairs --pairs best-worst --out pairs.parquet
  dpo-ort label --data samples.parquet --reward 'command:python3 judge.py' --judge-timeout 2m --as pairs --out pairs.parquet
  dpo-ort label --data samples.parquet --reward column:votes --as pairs --pairs sampled --seed 7 --out pairs.parquet`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runLabel(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.files.Data, "data", nil, "Parquet, JSONL or JSON files with the same columns: prompt and completions")
	f.StringVar(&o.Reward, "reward", "", "what answers are judged by: see above")
	f.StringVar(&o.files.Out, "out", "", "Parquet file to write")
	f.StringVar(&o.As, "as", "ranked", "what to write: ranked or pairs")
	f.StringVar(&o.Pairs, "pairs", "", "which pairs: "+strings.Join(dpo.Pairings(), ", ")+" (default all)")
	f.StringVar(&o.Ties, "ties", "", "what becomes of pairs of equal scores: drop, keep or average (default drop, of sampled pairs keep)")
	f.Float64Var(&o.Temperature, "sampled-temperature", 0, "what scores are divided by where pairs are sampled (default 1)")
	f.Int64Var(&o.Seed, "seed", 0, "seed of sampled pairs")
	f.BoolVar(&o.Margin, "margin", false, "add the difference of a pair's scores as margin, which train asks the chosen answer to win by")
	bindColumns(f, &o.files.Columns, "prompt=question,completions=answers")
	f.BoolVar(&o.files.Strict, "strict", false, "stop at the first answer that cannot be judged")
	f.BoolVar(&o.files.Overwrite, "overwrite", false, "replace --out, scores and ranks that the input has already, and parts of another job")
	bindJudge(f, &o.Judge)
	bindLimits(f)
	o.talk.bind(f)
	return cmd
}

// openTokenizer is JudgeOptions.Tokenizer.
func openTokenizer(dir string) (datasets.Tokenizer, error) {
	tok, err := tokenizerOf(dir)
	if err != nil {
		return nil, err
	}
	return tok, nil
}

func runLabel(cmd *cobra.Command, o labelFlags) error {
	if err := checkColumns(o.files.Columns); err != nil {
		return err
	}
	switch {
	case len(o.files.Data) == 0:
		return dpo.Usage("data is missing: name a Parquet or JSONL file")
	case o.files.Out == "":
		return dpo.Usage("out is missing: name the Parquet file to write")
	}
	if err := o.Check(); err != nil {
		return err
	}
	if err := checkJudge(o.Judge); err != nil {
		return err
	}
	stopping.keeps(keptParts(o.files.Out))
	start := time.Now()
	progress := o.talk.progress(cmd.ErrOrStderr())
	var last dpo.LabelEvent
	for e, err := range dpo.Label(cmd.Context(), o.LabelConfig, o.files) {
		if err != nil {
			progress.end()
			return err
		}
		if e.Rows > last.Rows { // the last event has the same as the one before, and the pairs
			progress.show(dpo.Event{Phase: "label", Done: int(e.Rows), Total: int(e.Total)})
		}
		if last = e; e.Resumed > 0 && e.Rows == e.Resumed {
			progress.say("resumed   after %d rows\n", e.Resumed)
		}
	}
	progress.end()
	return o.talk.result(cmd.OutOrStdout(), last, labelText(o, last, time.Since(start).Seconds()))
}

// labelText tells what a job came to.
func labelText(o labelFlags, e dpo.LabelEvent, seconds float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "labelled  %d rows, %d answers in %s\n", e.Rows, e.Answers, duration(seconds))
	list := "column error says why"
	if o.As == "pairs" {
		list = "listed in " + o.files.Out + dpo.DroppedSuffix
		fmt.Fprintf(&b, "pairs     %d\n", e.Pairs)
	}
	if e.Ties > 0 || e.Equal > 0 {
		fmt.Fprintf(&b, "ties      %d pairs of equal scores, and %d of equal answers\n", e.Ties, e.Equal)
	}
	if e.Failed > 0 {
		fmt.Fprintf(&b, "failed    %d rows, with %d answers that could not be judged: %s\n", e.Failed, e.Unjudged, list)
	}
	if e.Dropped > 0 {
		fmt.Fprintf(&b, "dropped   %d rows without a pair: %s\n", e.Dropped, list)
	}
	fmt.Fprintf(&b, "written   %s\n%s", o.files.Out, warningLines(e.Warnings))
	return b.String()
}
