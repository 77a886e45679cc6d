package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/internal/demo"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// What a demo keeps in its folder. The first is written first, and tells that the folder is a demo's.
var demoFiles = []string{"demo.yaml", "model", "train.jsonl", "control.jsonl", "held-out.jsonl", "trained", "control",
	"corpus", "sft", "samples.parquet", "pairs.parquet", "frontier"}

type demoFlags struct {
	out   string
	seed  int64
	steps int
	quick bool
	talk  talk
}

// demoResult is what a demo came to.
type demoResult struct {
	Seed           int64
	Pairs, HeldOut int
	Before         float64 // accuracy on held-out pairs of the untrained model's log-probabilities
	First          dpo.Evaluation
	Trained        dpo.Evaluation
	Control        dpo.Evaluation // of a model trained on shuffled labels
	ByLength       float64        // accuracy of the answers' lengths alone
	ByFirstWord    float64        // accuracy of the answers' first words alone
	Seconds        float64
}

func init() { register(newDemo) }

func newDemo() *cobra.Command {
	var o demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the DPO paper's pipeline on made-up film reviews, and redraw its figure",
		Long: `demo runs the DPO paper's controlled experiment in miniature, in some minutes on two cores. It needs no file and no network.

A grammar makes up film reviews from a seed, and a critic that reads negations and contrasts gives them rewards. A small Llama learns to
write reviews from random weights (sft), continues beginnings of new ones (generate), the critic orders what it wrote (label), and the
model is aligned at several betas (train). frontier measures, on fresh prompts, what reward each reaches at what KL from the reference,
beside Preferred-FT, best-of-N, and the optimum of the paper's Equation 4, and report draws it. A demo that was stopped goes on with the
same command.

With --quick it makes up a tiny Llama and preferences, trains it, and measures it on pairs whose prompts are new, in less than a minute.
Words belong to topics; a prompt names two words of one, and the better answer stays with it. Beside the trained model stand one
trained on the same pairs with shuffled labels, and what the answers' length or first word alone would tell.`,
		Example: `  dpo-ort demo
  dpo-ort demo --seed 1 --out demo1
  dpo-ort demo --quick
  dpo-ort score --model demo/trained --ref demo/model --data demo/held-out.jsonl --out scored.parquet`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.out, "out", "demo", "folder to write; one of an earlier demo is written anew")
	f.Int64Var(&o.seed, "seed", 0, "seed of everything that is made up")
	f.BoolVar(&o.quick, "quick", false, "only show that training learns, in less than a minute")
	f.IntVar(&o.steps, "steps", 128, "with --quick: steps of each training")
	o.talk.bind(f)
	return cmd
}

func runDemo(cmd *cobra.Command, o demoFlags) error {
	if !o.quick {
		return runPipeline(cmd, o, demo.NewPipeline())
	}
	start := time.Now()
	if o.steps < 1 {
		return dpo.Usage("steps must be at least 1, it is %d", o.steps)
	}
	if err := claimDemo(o.out, o.seed); err != nil {
		return err
	}
	r, err := o.makeUp()
	if err != nil {
		return err
	}
	tok, err := tokenizer.Load(o.path("model"))
	if err != nil {
		return err
	}
	defer tok.Close()
	if r.Before, err = o.untrained(tok); err != nil {
		return err
	}
	progress := o.talk.progress(cmd.ErrOrStderr())
	for _, run := range []struct {
		name, data string
		to         *dpo.Evaluation
	}{{"trained", "train.jsonl", &r.Trained}, {"control", "control.jsonl", &r.Control}} {
		progress.say("%-9s %s\n", run.name, o.path(run.data))
		s, err := o.train(cmd.Context(), tok, run.name, run.data, progress)
		if err != nil {
			return err
		}
		r.First, *run.to = *s.FirstEvaluation, *s.Evaluation
	}
	r.Seconds = time.Since(start).Seconds()
	return o.talk.result(cmd.OutOrStdout(), r, o.text(r))
}

func (o demoFlags) path(name string) string { return filepath.Join(o.out, name) }

// claimDemo makes the folder, or empties that of an earlier demo. It refuses one that holds something else.
func claimDemo(out string, seed int64) error {
	entries, err := os.ReadDir(out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("output folder: %w", err)
	}
	mark := filepath.Join(out, demoFiles[0])
	if _, err := os.Stat(mark); err != nil && len(entries) > 0 {
		return fmt.Errorf("output folder %s is not empty and no demo's (it holds %s): choose another --out", out, entries[0].Name())
	}
	for _, name := range demoFiles[1:] {
		if err := safefile.RemoveAll(filepath.Join(out, name)); err != nil {
			return fmt.Errorf("remove the earlier demo: %w", err)
		}
	}
	if err := safefile.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("output folder: %w", err)
	}
	if err := safefile.Write(mark, fmt.Appendf(nil, "seed: %d\n", seed)); err != nil {
		return fmt.Errorf("output folder: %w", err)
	}
	return nil
}

// makeUp writes the model and the preferences.
func (o demoFlags) makeUp() (r demoResult, err error) {
	p := demo.NewPreferences(o.seed)
	r = demoResult{Seed: o.seed, Pairs: len(p.Train), HeldOut: len(p.HeldOut), ByLength: p.ByLength(), ByFirstWord: p.ByFirstWord()}
	return r, errors.Join(
		demo.WriteModel(o.path("model"), o.seed),
		demo.WriteRows(o.path("train.jsonl"), p.Train),
		demo.WriteRows(o.path("control.jsonl"), p.Control),
		demo.WriteRows(o.path("held-out.jsonl"), p.HeldOut))
}

// untrained is the accuracy of the model's own log-probabilities on held-out pairs.
func (o demoFlags) untrained(tok datasets.Tokenizer) (float64, error) {
	s, err := dpo.NewScorer(dpo.ScoreConfig{Model: o.path("model"), Beta: 1, Truncate: "prompt", EOS: "add", Device: "cpu"}, tok)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	var groups []datasets.Group
	for g, err := range datasets.Read([]string{o.path("held-out.jsonl")}, datasets.Options{}) {
		if err != nil {
			return 0, err
		}
		groups = append(groups, g)
	}
	scores, err := s.Score(groups)
	right := 0
	for _, of := range scores {
		if of.Err != nil {
			return 0, of.Err
		}
		if of.Policy[0] > of.Policy[1] {
			right++
		}
	}
	return float64(right) / float64(len(groups)), err
}

// train trains the model on one of the files, with settings for weights that know nothing yet.
func (o demoFlags) train(ctx context.Context, tok datasets.Tokenizer, name, data string, p *progress) (s dpo.Summary, err error) {
	c, err := dpo.NewConfig("paper")
	if err != nil {
		return s, err
	}
	c.Model, c.Data, c.EvalData, c.Out = o.path("model"), []string{o.path(data)}, []string{o.path("held-out.jsonl")}, o.path(name)
	c.Beta, c.Optimizer, c.LR, c.Warmup, c.MaxGradNorm, c.Schedule = 0.5, "adamw", 3e-3, min(10, o.steps/2), 1, "linear"
	c.Batch, c.Steps, c.Seed, c.EvalEvery, c.SaveEvery = 32, o.steps, o.seed, o.steps, 0
	t, err := dpo.NewTrainer(c, tok, false)
	if err != nil {
		return s, err
	}
	defer t.Close()
	defer p.end()
	for e, err := range t.Run(ctx) {
		if err != nil {
			return s, err
		}
		if e.Warning != nil && e.Warning.Name == "unlikely-answers" {
			continue // they are: the model's weights are random
		}
		p.show(e)
	}
	return t.Summary(), nil
}

func (o demoFlags) text(r demoResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "demo      seed %d: %d pairs, %d held out whose prompts are new; %s\n\n", r.Seed, r.Pairs, r.HeldOut, duration(r.Seconds))
	row := func(name string, loss, accuracy float64) {
		shown := ""
		if loss > 0 {
			shown = fmt.Sprintf("%.4f", loss)
		}
		fmt.Fprintf(&b, "%-34s %8s   %8.4f\n", name, shown, accuracy)
	}
	fmt.Fprintf(&b, "%-34s %8s   %8s\n", "on held-out pairs", "loss", "accuracy")
	row("before (of its log-probabilities)", r.First.Loss, r.Before)
	row("trained", r.Trained.Loss, r.Trained.Accuracies)
	row("trained on shuffled labels", r.Control.Loss, r.Control.Accuracies)
	row("length alone", 0, r.ByLength)
	row("first word alone", 0, r.ByFirstWord)
	fmt.Fprintf(&b, "\nnext      dpo-ort score --model %s --ref %s --data %s --out scored.parquet\n", o.path("trained"), o.path("model"), o.path("held-out.jsonl"))
	return b.String()
}
