package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/dpo/report"
	"github.com/dpo-ort/dpo-ort/internal/plainyaml"
)

type frontierFlags struct {
	plan, out string
	judge     dpo.JudgeOptions
	talk      talk
}

func init() { register(newFrontier) }

func newFrontier() *cobra.Command {
	o := frontierFlags{judge: dpo.JudgeOptions{Tokenizer: openTokenizer}}
	cmd := &cobra.Command{
		Use:   "frontier",
		Short: "Draw reward against divergence: DPO at several betas, Preferred-FT, best-of-N, and the bound",
		Long: `frontier redraws the DPO paper's Figure 2 (left) for a model and a reward of yours: how much reward a method reaches at what KL
divergence from the reference, in nats. It trains a DPO run for each beta and a Preferred-FT run, tries their checkpoints on prompts
that no run has seen (their own answers at temperature 1, rewarded, and compared with the reference's probabilities), and sets beside
them best-of-N of the reference's answers, and the optimum of the paper's Equation 4, pi* = pi_ref·exp(r/beta)/Z, from the same answers by
importance weights: no policy does better at its KL.

The plan is a file of YAML:

  reference: sft                   # model directory that all runs begin with
  prompts: [fresh.parquet]         # column prompt
  reward: lexicon:words.tsv        # as label takes it
  samples: 4                       # of each prompt, a point
  max-tokens: 64
  betas: [0.05, 0.1, 0.3, 1]
  points: 2                        # checkpoints of each run that become points
  dpo: {data: [pairs.parquet], steps: 100, batch: 32, lr: 1e-4, optimizer: adamw}
  preferred-ft: {data: [pairs.parquet], steps: 100, batch: 32, lr: 1e-4}   # null: none
  reference-samples: 128           # of each prompt, for best-of-N and the bound
  best-of: [1, 4, 16, 64, 128]

dpo and preferred-ft hold settings of train and sft under the names of their flags. OUT gets frontier.json, report.html, the plots
and all runs. What was stopped in any way goes on with the same command.`,
		Example: `  dpo-ort frontier --plan plan.yaml --out frontier`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runFrontier(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.plan, "plan", "", "YAML file of the plan: see above")
	f.StringVar(&o.out, "out", "", "folder to write")
	bindJudge(f, &o.judge)
	bindLimits(f)
	o.talk.bind(f)
	return cmd
}

func runFrontier(cmd *cobra.Command, o frontierFlags) error {
	if o.plan == "" || o.out == "" {
		return dpo.Usage("plan or out is missing: name the plan's file, and the folder to write")
	}
	if err := checkJudge(o.judge); err != nil {
		return err
	}
	plan, err := readPlan(o.plan)
	if err != nil {
		return err
	}
	if err := fetching.plan(&plan); err != nil {
		return err
	}
	plan.Judge = o.judge
	stopping.keeps(keptIn(o.out))
	progress := o.talk.progress(cmd.ErrOrStderr())
	if err := showFrontier(cmd.Context(), plan, o.out, progress); err != nil {
		return err
	}
	drawn := frontierDrawing(o.out, "Frontier")
	_, written, err := drawn.write()
	if err != nil {
		return err
	}
	f, err := report.ReadFrontier(drawn.frontier)
	if err != nil {
		return err
	}
	return o.talk.result(cmd.OutOrStdout(), f, frontierText(f)+written)
}

// frontierDrawing is what is drawn of a frontier's folder.
func frontierDrawing(dir, title string) reportFlags {
	r := reportFlags{frontier: filepath.Join(dir, "frontier.json"), out: filepath.Join(dir, "report.html"), plots: filepath.Join(dir, "plots"), name: title}
	entries, _ := os.ReadDir(filepath.Join(dir, "runs")) // a frontier may have trained nothing
	for _, e := range entries {
		r.runs = append(r.runs, filepath.Join(dir, "runs", e.Name()))
	}
	return r
}

// showFrontier makes the frontier and shows how it comes along.
func showFrontier(ctx context.Context, plan dpo.FrontierPlan, out string, p *progress) error {
	defer p.end()
	stage := ""
	for e, err := range dpo.Frontier(ctx, plan, out) {
		if err != nil {
			return err
		}
		if e.Point != nil {
			p.end()
			p.say("%s\n", pointText(*e.Point))
			continue
		}
		if e.Stage != stage {
			p.end()
			stage = e.Stage
			p.say("%s\n", stage)
		}
		p.show(e.Event)
	}
	return nil
}

// readPlan reads a plan over the defaults.
func readPlan(file string) (dpo.FrontierPlan, error) {
	p, err := dpo.NewFrontierPlan()
	if err != nil {
		return p, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return p, dpo.Usage("plan: %v", err)
	}
	if err := plainyaml.Unmarshal(text, &p, yaml.Strict()); err != nil {
		return p, malformed(file, err)
	}
	return p, nil
}

func pointText(p report.FrontierPoint) string {
	name := p.Method + " " + p.Label
	if p.Method == "best-of-n" || p.Method == p.Label {
		name = p.Label
	}
	if p.Step > 0 {
		name += fmt.Sprintf(" step %d", p.Step)
	}
	return fmt.Sprintf("%-34s %7.3f ± %.3f %9.3f ± %.3f", name, p.KL, p.KLSE, p.Reward, p.RewardSE)
}

// frontierText is the table of all points.
func frontierText(f *report.Frontier) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-34s %15s %17s\n", "", "KL, nats", "reward")
	for _, p := range f.Points {
		fmt.Fprintln(&b, pointText(p))
	}
	return b.String()
}
