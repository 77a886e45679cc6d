package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/dpo"
)

// trainFlags are those of the verbs that train, beside the settings.
type trainFlags struct {
	objective      string // "" is dpo.Preference
	preset, config string
	resume, dryRun bool
	cache          string
	talk           talk

	// initial names, in the settings' Model, a model that the run makes to begin with, and gives what writes it; nil where there is one.
	initial func(c *dpo.Config) (write func(dir string) error, err error)
}

func init() { register(newTrain) }

func newTrain() *cobra.Command {
	o := trainFlags{initial: (*dpo.Config).NewAdapter}
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Train a model on preferences",
		Long: `train aligns a model by Direct Preference Optimization on pairs (or, with --loss plackett_luce, rankings).

The output is a Hugging Face directory that transformers opens as it is. Under run/ it keeps the settings, metrics.jsonl
(one line a step, under TRL's names), the same numbers for TensorBoard (tensorboard --logdir DIR/run), dropped.jsonl (rows
that could not be used, and why), checkpoints and the graphs.
Ctrl-C finishes the step and saves; --resume goes on from there, to the same bits.

Defaults are the DPO paper's (--preset paper); --preset trl has TRL's. --config takes a YAML file whose keys are the
flags' names; flags override it.

Token ids are kept for the next run with the same data, tokenizer and limits (--cache); those not used for 30 days are removed.
With --steps and --no-shuffle rows are not read before the first step but while steps are taken, as far as these need them; none
are kept. A bad row then ends the run where a step needs it, with the state saved.

` + lossesText(),
		Example: `  dpo-ort train --model models/llama --data pairs.parquet --out aligned
  dpo-ort train --model models/llama --data 'prefs/*.jsonl' --eval-data test.jsonl --eval-every 50 --out aligned \
      --beta 0.5 --optimizer adamw --lr 1e-4 --batch 32 --steps 120
  dpo-ort train --resume --out aligned
  dpo-ort train --config run.yaml --dry-run`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTrain(cmd, o) },
	}
	o.preset = "paper"
	o.bindSettings(cmd.Flags())
	cmd.Flags().StringVar(&o.preset, "preset", o.preset, "defaults: "+strings.Join(dpo.Presets(), " or "))
	o.bind(cmd.Flags())
	return cmd
}

// bindSettings declares the settings, with the defaults that the verb has.
func (o *trainFlags) bindSettings(f *pflag.FlagSet) {
	shown, err := o.defaults()
	if err != nil {
		panic(err) // the preset or objective is ours
	}
	f.SortFlags = false
	bindVerb(f, &shown)
}

func (o *trainFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&o.config, "config", "", "YAML file of settings")
	f.BoolVar(&o.resume, "resume", false, "go on with the run in --out")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be done: rows, tokens, memory, time")
	f.StringVar(&o.cache, "cache", "", "folder that keeps token ids for the next run (default: dpo-ort in the user's cache folder); none: keep none")
	bindLimits(f)
	o.talk.bind(f)
}

// defaults are the settings of who gives none.
func (o *trainFlags) defaults() (dpo.Config, error) {
	if o.objective == "" {
		return dpo.NewConfig(o.preset)
	}
	return dpo.NewObjective(o.objective)
}

// settings are those of the run that is asked for.
func (o *trainFlags) settings(cmd *cobra.Command) (c dpo.Config, err error) {
	out, _ := cmd.Flags().GetString("out")
	if o.resume {
		c, err = resumedSettings(cmd.Flags(), out)
	} else {
		c, err = trainSettings(cmd.Flags(), *o)
	}
	if err == nil && c.Verb() != "" && c.Verb() != cmd.Name() {
		return c, dpo.Usage("these are the settings of dpo-ort %s (objective %s): give them to it", c.Verb(), cmp.Or(c.Objective, dpo.Preference))
	}
	return c, err
}

func runTrain(cmd *cobra.Command, o trainFlags) (err error) {
	c, err := o.settings(cmd)
	if err != nil {
		return err
	}
	stopping.keeps(keptRun(c.Out))
	var write func(dir string) error
	if o.initial != nil && !o.resume {
		if write, err = o.initial(&c); err != nil {
			return err
		}
	}
	if err := c.Check(); err != nil {
		return err
	}
	undo := func() error { return nil }
	if write != nil {
		if undo, err = c.WriteInitial(write); err != nil {
			return err
		}
	}
	c.Cache = cacheFolder(o.cache)
	tok, err := tokenizerWith(c.Model, c.ChatTemplate)
	if err != nil {
		return errors.Join(err, undo())
	}
	defer tok.Close()
	trainer, err := dpo.NewTrainer(c, tok, o.resume)
	if err != nil {
		return errors.Join(err, undo())
	}
	defer trainer.Close()
	if o.dryRun {
		defer func() { err = errors.Join(err, undo()) }()
	}
	plan, err := trainer.Plan(o.dryRun)
	if err != nil {
		return err
	}
	if o.dryRun {
		return o.talk.result(cmd.OutOrStdout(), plan, planText(plan))
	}
	progress := o.talk.progress(cmd.ErrOrStderr())
	progress.say("%s", planText(plan))
	for e, err := range trainer.Run(cmd.Context()) {
		if err != nil {
			progress.end()
			return err
		}
		progress.show(e)
	}
	progress.end()
	summary := trainer.Summary()
	return o.talk.result(cmd.OutOrStdout(), summary, summaryText(c, summary))
}

// cacheFolder is the folder that --cache means; "" if there is none.
func cacheFolder(flag string) string {
	switch flag {
	case "none":
		return ""
	case "":
		base, err := os.UserCacheDir()
		if err != nil {
			return "" // a user without a home does without
		}
		return filepath.Join(base, "dpo-ort")
	}
	return flag
}

func planText(p dpo.Plan) string {
	var b strings.Builder
	for _, line := range p.Found {
		fmt.Fprintf(&b, "found     %s\n", line)
	}
	fmt.Fprintf(&b, "data      %d groups, %d tokens", p.Groups, p.Tokens)
	if p.Streamed {
		fmt.Fprint(&b, " for the first steps; the rest, as far as steps need it, is read while they are taken")
	}
	if p.Dropped > 0 {
		fmt.Fprintf(&b, ", %d rows dropped", p.Dropped)
	}
	if p.Truncated > 0 {
		fmt.Fprintf(&b, ", %d cut", p.Truncated)
	}
	if p.BorderTokens > 0 {
		fmt.Fprintf(&b, ", %d tokens span the border of prompt and answer", p.BorderTokens)
	}
	if p.EvalGroups > 0 {
		fmt.Fprintf(&b, "; %d held out", p.EvalGroups)
	}
	if p.Known > 0 {
		fmt.Fprintf(&b, "\nreference of %d groups from ref_ columns", p.Known)
	}
	fmt.Fprintf(&b, "\nsteps     %d (", p.Steps)
	if !p.Streamed {
		fmt.Fprintf(&b, "%d an epoch, ", p.StepsPerEpoch)
	}
	fmt.Fprintf(&b, "%d micro-batches in the first)\n", p.MicroBatches)
	fmt.Fprintf(&b, "memory    %s; %s\n", memoryText(p), fitText(p))
	if p.Seconds > 0 {
		fmt.Fprintf(&b, "time      about %s, by one micro-batch\n", duration(p.Seconds))
	}
	b.WriteString(warningLines(p.Warnings))
	return b.String()
}

// memoryText says what the run will hold, and what for.
func memoryText(p dpo.Plan) string {
	m, reference, parameters := p.Memory, "", strconv.FormatInt(p.Trained, 10)
	if m.Reference > 0 {
		reference = ", reference " + size(m.Reference)
	}
	if m.Frozen > 0 {
		parameters = fmt.Sprintf("%d frozen parameters %s, %d trained", p.Parameters-p.Trained, size(m.Frozen), p.Trained)
	}
	host := ""
	if m.Host > 0 {
		host = fmt.Sprintf("; and %s of the host's", size(m.Host))
	}
	return fmt.Sprintf("about %s of %s: %s parameters %s, gradients %s, states %s%s, activations %s, temporaries %s, process %s%s", size(m.Total()), size(m.Limit),
		parameters, size(m.Weights), size(m.Gradients), size(m.States), reference, size(m.Activations), size(m.Scratch), size(m.Process), host)
}

// fitText says how the run fits into its memory.
func fitText(p dpo.Plan) string {
	passes, parts := p.Fit.Passes, []string{fmt.Sprintf("micro-batches of %d tokens", p.Fit.MicroTokens)}
	if n := p.Layers - passes.Probs - passes.Recompute; n > 0 {
		parts = append(parts, fmt.Sprintf("%d layers keep all", n))
	}
	if passes.Probs > 0 {
		parts = append(parts, fmt.Sprintf("%d all but attention probabilities", passes.Probs))
	}
	if passes.Recompute > 0 {
		parts = append(parts, fmt.Sprintf("%d are computed again", passes.Recompute))
	}
	if p.Fit.Lanes > 0 {
		parts = append(parts, fmt.Sprintf("side by side in up to %d lanes", p.Fit.Lanes))
	}
	if p.Fit.Release {
		parts = append(parts, "gradients are released")
	}
	return strings.Join(parts, ", ")
}

// result writes a command's result to stdout.
func (t talk) result(w io.Writer, value any, text string) error {
	if t.json {
		return json.NewEncoder(w).Encode(value)
	}
	_, err := fmt.Fprint(w, text)
	return err
}

func size(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
}
