package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo"
)

type inspectFlags struct {
	encodeFlags
	data, evalData []string
	talk           talk
}

func newDataInspect() *cobra.Command {
	var o inspectFlags
	cmd := &cobra.Command{
		Use:   "inspect",
		Short: "Say what data holds: rows, columns, answers, and their lengths in tokens",
		Long: `inspect tells rows, which layout of columns they have (docs/data.md lists these), columns with their types, row groups, how many answers a prompt has, and in how many rows answers are tied, lack
a rank or score, or divided the votes. With --model it counts tokens
as train does: percentiles and histograms of prompts and answers (whole is a prompt with its longest answer), and what --max-length
and --max-prompt-length would cut.

What makes the data hard to learn from is named at the end, each in a line with a hint: equal answers, rows of which nothing is left to score,
duplicates, labels that contradict each other, an order that length alone tells, rows that are cut, tokens that span the border of prompt and
answer; with --eval-data, held-out rows or prompts that are in the training data too. train says the same before it begins.`,
		Example: `  dpo-ort data inspect --data pairs.parquet
  dpo-ort data inspect --data pairs.parquet --model models/llama --max-length 1024
  dpo-ort data inspect --data pairs.parquet --eval-data held-out.parquet`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDataInspect(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.data, "data", nil, "Parquet, JSONL or JSON files, globs or folders, with the same columns")
	f.StringSliceVar(&o.evalData, "eval-data", nil, "held-out data, to be looked for in --data")
	o.bind(f)
	bindLimits(f)
	o.talk.bind(f)
	return cmd
}

func runDataInspect(cmd *cobra.Command, o inspectFlags) error {
	if len(o.data) == 0 {
		return dpo.Usage("data is missing: name a Parquet or JSONL file")
	}
	enc, end, err := o.encoder()
	if err != nil {
		return err
	}
	defer end()
	last, err := follow(cmd, o.talk, "inspect", datasets.Inspect(o.data, o.evalData, datasets.Options{Columns: o.columns}, enc), func(in *datasets.Inspection) (int64, int64) { return in.Rows, in.Total })
	if err != nil {
		return err
	}
	return o.talk.result(cmd.OutOrStdout(), last, inspectionText(last))
}

func inspectionText(in *datasets.Inspection) string {
	var b strings.Builder
	for _, f := range in.Files {
		fmt.Fprintf(&b, "file      %s: %d rows%s\n", f.File, f.Rows, rowGroups(f.RowGroups))
	}
	kind := string(in.Kind)
	if kind == "" {
		kind = in.Missing
	}
	fmt.Fprintf(&b, "rows      %d\nkind      %s\n", in.Rows, kind)
	if in.Layout != "" {
		fmt.Fprintf(&b, "layout    %s\n", in.Layout)
	}
	name := 0
	for _, c := range in.Columns {
		name = max(name, len([]rune(c.Name)))
	}
	for i, c := range in.Columns {
		title := ""
		if i == 0 {
			title = "columns"
		}
		fmt.Fprintf(&b, "%-9s %-*s  %s\n", title, name, c.Name, c.Type)
	}
	var answers []string
	for _, k := range slices.Sorted(maps.Keys(in.Answers)) {
		answers = append(answers, fmt.Sprintf("%d in %d rows", k, in.Answers[k]))
	}
	if answers != nil {
		fmt.Fprintf(&b, "answers   %s\n", strings.Join(answers, ", "))
	}
	for _, c := range []struct {
		title string
		rows  int64
		words string
	}{{"tied", in.Tied, "rows whose ranks or scores have ties; train --ties says what these tell"},
		{"partial", in.Partial, "rows with answers that have no rank (below all others) or no score (left out)"},
		{"votes", in.Voted, "rows whose votes are divided: a label in shares"}, {"even", in.Even, "rows of these with as many votes for each answer"},
		{"true", in.Desirable, "rows whose label is true: train --loss kto raises their answers"},
		{"false", in.Undesirable, "rows whose label is false: train --loss kto lowers their answers"},
		{"in words", in.Worded, "rows whose label is a string: train --loss kto needs true or false without quotation marks, or 1 and 0"},
		{"broken", in.Broken, "rows; dpo-ort data validate says why"}, {"dropped", in.Dropped, "rows; dpo-ort data validate says why"}} {
		if c.rows > 0 {
			fmt.Fprintf(&b, "%-9s %d %s\n", c.title, c.rows, c.words)
		}
	}
	if in.Held > 0 {
		fmt.Fprintf(&b, "held out  %d rows\n", in.Held)
	}
	b.WriteString(lengthsText(in))
	b.WriteString(warningLines(in.Warnings))
	return b.String()
}

// warningLines has a line for each warning.
func warningLines(warnings []datasets.Warning) string {
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintln(&b, w)
	}
	return b.String()
}

func rowGroups(rows []int64) string {
	switch len(rows) {
	case 0:
		return ""
	case 1:
		return ", 1 row group"
	}
	return fmt.Sprintf(", %d row groups of %d to %d", len(rows), slices.Min(rows), slices.Max(rows))
}

func lengthsText(in *datasets.Inspection) string {
	if len(in.Lengths) == 0 || in.Lengths[0].Count == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-12s %7s %7s %7s %7s %7s %9s\n", "tokens", "least", "50%", "90%", "99%", "most", "mean")
	for _, l := range in.Lengths {
		fmt.Fprintf(&b, "%-12s %7d %7d %7d %7d %7d %9.1f\n", l.Of, l.Min, l.P50, l.P90, l.P99, l.Max, l.Mean)
	}
	for _, l := range in.Lengths {
		fmt.Fprintf(&b, "\n%s\n%s", l.Of, histogram(l.Histogram))
	}
	if c := in.Cuts; c != nil {
		share := func(n int64) float64 { return 100 * float64(n) / float64(in.Lengths[0].Count) }
		fmt.Fprintf(&b, "\ncut       %d rows (%.1f%%) exceed --max-length %d\n", c.Rows, share(c.Rows), c.MaxLength)
		fmt.Fprintf(&b, "          %d prompts (%.1f%%) lose their start to --max-prompt-length %d, answers of %d rows (%.1f%%) their ends\n",
			c.Prompts, share(c.Prompts), c.MaxPromptLength, c.Answers, share(c.Answers))
	}
	return b.String()
}

// barWidth is the length of the longest bar, in characters.
const barWidth = 40

// histogram draws a line for each bin; a character has eight parts.
func histogram(bins []datasets.Bin) string {
	most := 0
	for _, bin := range bins {
		most = max(most, bin.Count)
	}
	var b strings.Builder
	for _, bin := range bins {
		parts := (bin.Count*barWidth*8 + most - 1) / most // whatever is there shows
		bar := strings.Repeat("█", parts/8)
		if rest := parts % 8; rest > 0 {
			bar += string([]rune("▏▎▍▌▋▊▉")[rest-1])
		}
		fmt.Fprintf(&b, "%6d–%-6d %s %d\n", bin.From, bin.To, bar, bin.Count)
	}
	return b.String()
}
