// Package report draws what training runs measured, as one HTML page that needs nothing else, and as PNG and SVG files.
//
//	run, err := report.Read("aligned")          // what train left under aligned/run
//	err = report.Write(w, report.Report{Runs: []report.Run{run}})
//
// The page holds no script, asks no network for anything (its Content-Security-Policy says so to the browser), follows the
// reader's dark or light theme, and prints. Each plot has a title and a description for those who cannot see it, and its numbers
// as a table. The same input gives the same bytes: no time of making is written.
//
// Long runs are thinned for drawing, see thin; tables give at most 24 rows of a curve.
package report

import (
	"path/filepath"
	"slices"
	"strings"
)

// Report is what a page shows. Whatever is empty is left out.
type Report struct {
	Title       string // "" means "Training report"
	Runs        []Run
	Frontier    *Frontier
	Evaluations []Evaluation // beside those of the runs
	Samples     []Samples    // beside those of the frontier
}

// Run is what a training run left in its directory.
type Run struct {
	Name        string             // the directory
	Series      map[string][]Point // by the names of metrics.jsonl; those of held-out data begin with "eval_"
	Settings    []Setting          // of config.yaml, in its order
	Dropped     Dropped
	Evaluations []Evaluation
}

// Point is a number that was measured after a step. A Value of NaN is a gap: there the number is missing.
type Point struct{ Step, Value float64 }

// Setting is a name and what is set: of config.yaml "optimizer", or "plan.rung" where it lies deeper.
type Setting struct{ Name, Value string }

// Dropped are the rows that a run left out, as dropped.jsonl lists them.
type Dropped struct {
	Rows    int
	Reasons map[string]int // how many for which reason
	First   []Drop         // at most 10
}

// Drop is a row that was left out.
type Drop struct {
	File   string `json:"file"`
	Row    int64  `json:"row"` // 0-based
	Reason string `json:"reason"`
}

// Evaluation is a JSON file of measurements, each value under its path in the file: "accuracy.mean".
type Evaluation struct {
	Name   string
	Values []Setting // sorted by name
}

// Samples are texts side by side: a row a prompt, a column a model.
type Samples struct {
	Title   string
	Columns []string
	Rows    []Sample
}

// Sample is a prompt and a text of each column.
type Sample struct {
	Prompt string
	Texts  []Text
}

// Text is what a model wrote.
type Text struct {
	Text    string
	Reward  *float64 // nil where it is not known
	Finish  string   // "stop" or "length"; "" where it is not known
	Missing bool     // there is none for this prompt
}

// title is what the page is called.
func (r Report) title() string {
	if r.Title == "" {
		return "Training report"
	}
	return plain(r.Title)
}

// names are what the runs are called: as much of the ends of their directories as tells them apart.
func names(runs []Run) []string {
	parts := make([][]string, len(runs))
	longest := 0
	for i, r := range runs {
		parts[i] = strings.Split(filepath.ToSlash(filepath.Clean(r.Name)), "/")
		longest = max(longest, len(parts[i]))
	}
	for n := 1; ; n++ {
		var short []string
		for _, p := range parts {
			short = append(short, plain(strings.Join(p[max(0, len(p)-n):], "/")))
		}
		if n >= longest || len(slices.Compact(slices.Sorted(slices.Values(short)))) == len(runs) {
			return short
		}
	}
}

// plain is text without what a page or a plot cannot show: broken UTF-8, and control characters but for line ends and tabs.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) && r != 0xfffe && r != 0xffff:
			return r
		case r == '\r':
			return -1
		}
		return '\ufffd'
	}, strings.ToValidUTF8(text, "\ufffd"))
}

// line is text in one line of at most n characters.
func line(text string, n int) string {
	r := []rune(strings.Join(strings.Fields(plain(text)), " "))
	if len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return string(r)
}
