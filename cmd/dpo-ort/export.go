package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/models/exported"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

type exportFlags struct {
	model, out, loss, divergence, optimizer, print string
	optimizerSettings                              settings.Values
	rungs                                          []string
}

func init() { register(newExport) }

func newExport() *cobra.Command {
	var o exportFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a model's training graphs",
		Long: `export writes the ONNX graphs that training runs: each stage forward and backward, the loss and the optimizer, with a
manifest. They hold no weights. train exports by itself; this is for looking and reuse. Of a Hugging Face directory only config.json is
read. Of an ONNX file that another program exported, export also lists what it found: inputs, outputs, weights, operators.`,
		Example: `  dpo-ort export --model models/llama --out graphs
  dpo-ort export --model exported/model.onnx --out graphs
  dpo-ort export --model models/llama --print block.stash.grad`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runExport(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.model, "model", "", "Hugging Face directory (its config.json), or an ONNX file of a language model")
	f.StringVar(&o.out, "out", "", "directory to write")
	f.StringVar(&o.loss, "loss", "sigmoid", "loss: "+strings.Join(loss.Names(), ", ")+"; a mixture (sigmoid=1,sft=0.5); or a file, NAME.onnx")
	f.StringVar(&o.divergence, "f-divergence", "", "of losses of h: "+strings.Join(loss.Divergences(), ", ")+" (default reverse_kl)")
	f.StringVar(&o.optimizer, "optimizer", "rmsprop", "optimizer: "+strings.Join(optim.Names(), ", "))
	f.Var(&o.optimizerSettings, "optimizer-settings", "settings of the optimizer, such as beta2=0.95")
	f.StringSliceVar(&o.rungs, "rung", []string{"stash", "probs", "recompute"}, "what layers keep: backward graphs to write")
	f.StringVar(&o.print, "print", "", "write this graph as text to stdout")
	return cmd
}

func runExport(cmd *cobra.Command, o exportFlags) error {
	if o.model == "" || o.out == "" && o.print == "" {
		return dpo.Usage("export needs --model, and --out or --print")
	}
	if !strings.ContainsAny(o.loss, "=,.") {
		if err := dpo.OneOf("loss", o.loss, loss.Names()); err != nil {
			return err
		}
	}
	l, err := dpo.FindLoss(o.loss, o.divergence)
	if err != nil {
		return dpo.Usage("%v", err)
	}
	if err := dpo.OneOf("optimizer", o.optimizer, optim.Names()); err != nil {
		return err
	}
	if _, err := optim.New(o.optimizer, o.optimizerSettings); err != nil {
		return dpo.Usage("optimizer-settings: %v", err)
	}
	x := dpo.Export{Types: models.Types{Compute: onnx.Float32, Weights: onnx.Float32}, Loss: l, Optimizer: o.optimizer,
		OptimizerSettings: o.optimizerSettings}
	for _, name := range o.rungs {
		r, err := artifact.ParseRung(name)
		if err != nil {
			return dpo.Usage("%v", err)
		}
		x.Rungs = append(x.Rungs, r)
	}
	class, decoder, err := models.Describe(o.model)
	if err != nil {
		return err
	}
	if decoder.Exported != nil {
		sayExported(cmd.OutOrStdout(), decoder.Exported)
	}
	a, err := dpo.NewArtifact(class, decoder, x)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if o.print != "" {
		g, ok := a.Graphs[o.print]
		if !ok {
			return dpo.Usage("no graph %q: there are %s", o.print, strings.Join(slices.Sorted(maps.Keys(a.Graphs)), ", "))
		}
		fmt.Fprint(out, g)
	}
	if o.out == "" {
		return nil
	}
	if err := a.Write(o.out); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(a.Graphs)) {
		g := a.Graphs[name]
		fmt.Fprintf(out, "%-22s %4d nodes, %2d inputs, %2d outputs\n", name+".onnx", len(g.Nodes), len(g.Inputs), len(g.Outputs))
	}
	return nil
}

// sayExported lists what was found in a model's file, and how its operators are differentiated.
func sayExported(w io.Writer, x *exported.Model) {
	for _, line := range x.Report() {
		fmt.Fprintln(w, line)
	}
	for _, o := range x.Operators() {
		fmt.Fprintf(w, "%-40s %4d, %s\n", o.Name, o.Count, o.How)
	}
}
