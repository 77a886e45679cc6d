package main

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/dpo/report"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

type reportFlags struct {
	runs, evals, samples       []string
	frontier, out, plots, name string
	talk                       talk
}

// reportResult is what was written.
type reportResult struct {
	Out   string
	Bytes int64
	Runs  int
	Plots []string `json:",omitempty"` // files
}

func init() { register(newReport) }

func newReport() *cobra.Command {
	var o reportFlags
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Draw runs, a frontier and samples as one HTML page",
		Long: `report draws what training runs measured (loss, rewards, accuracy, margins, log-probabilities, gradient norm and whatever
else run/metrics.jsonl holds, held-out data over training), the frontier of reward and KL, and samples side by side, with each run's
settings and the rows that it left out. The page is one file that needs no network and holds no script; it follows the reader's dark
or light theme, reads on a phone, and prints. Every plot has its numbers as a table.

Several runs are drawn over each other. A frontier is what frontier wrote. Samples are what generate or label wrote: each file is a
column, prompts of the first file are looked for in the others, and the first answer of each is shown. The same input gives the same
bytes. Long runs are thinned for drawing, so that least and greatest values stay.`,
		Example: `  dpo-ort report --run aligned --out report.html
  dpo-ort report --run beta0.1 --run beta0.5 --plots plots
  dpo-ort report --run aligned --frontier frontier.json --samples before.parquet --samples after.parquet --out report.html`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runReport(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.runs, "run", nil, "directories that train wrote (its --out)")
	f.StringVar(&o.frontier, "frontier", "", "frontier.json that frontier wrote")
	f.StringSliceVar(&o.evals, "eval", nil, "JSON files of measurements, beside the run/eval*.json of the runs")
	f.StringSliceVar(&o.samples, "samples", nil, "Parquet, JSONL or JSON files with prompt and completions (or completion), a column each")
	f.StringVar(&o.out, "out", "report.html", "HTML file to write, or to replace")
	f.StringVar(&o.plots, "plots", "", "folder for the plots as SVG and PNG files")
	f.StringVar(&o.name, "title", "", "title of the page")
	bindLimits(f)
	o.talk.bind(f)
	return cmd
}

func runReport(cmd *cobra.Command, o reportFlags) error {
	if len(o.runs)+len(o.samples)+len(o.evals) == 0 && o.frontier == "" {
		return dpo.Usage("there is nothing to report: name a run with --run, or give --frontier, --eval or --samples")
	}
	done, text, err := o.write()
	if err != nil {
		return err
	}
	return o.talk.result(cmd.OutOrStdout(), done, text)
}

// write draws the page, and says what was written.
func (o reportFlags) write() (done reportResult, text string, err error) {
	r, err := o.read()
	if err != nil {
		return done, "", err
	}
	var page bytes.Buffer
	if err := report.Write(&page, r); err != nil {
		return done, "", err
	}
	done = reportResult{Out: o.out, Bytes: int64(page.Len()), Runs: len(r.Runs)}
	text = fmt.Sprintf("written   %s (%s)\n", o.out, size(done.Bytes))
	if o.plots != "" {
		files, err := report.WritePlots(o.plots, r)
		if err != nil {
			return done, "", err
		}
		for _, name := range files {
			done.Plots = append(done.Plots, filepath.Join(o.plots, name))
		}
		text += fmt.Sprintf("plots     %s: %d files\n", o.plots, len(files))
	}
	return done, text, safefile.Write(o.out, page.Bytes())
}

// read reads all that the page is to show.
func (o reportFlags) read() (r report.Report, err error) {
	r.Title = o.name
	for _, dir := range o.runs {
		run, err := report.Read(dir)
		if err != nil {
			return r, err
		}
		r.Runs = append(r.Runs, run)
	}
	if o.frontier != "" {
		if r.Frontier, err = report.ReadFrontier(o.frontier); err != nil {
			return r, err
		}
	}
	for _, file := range o.evals {
		e, err := report.ReadEvaluation(file)
		if err != nil {
			return r, err
		}
		r.Evaluations = append(r.Evaluations, e)
	}
	if len(o.samples) > 0 {
		s, err := readSamples(o.samples)
		if err != nil {
			return r, err
		}
		r.Samples = append(r.Samples, s)
	}
	return r, nil
}
