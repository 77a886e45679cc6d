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
	inferenceFlags
	purpose string

	model, out, loss, divergence, optimizer, dtype, print string
	optimizerSettings                                     settings.Values
	rungs                                                 []string
}

// What is exported.
const (
	forTraining  = "training"
	forInference = "inference"
)

var purposes = []string{forTraining, forInference}

func init() { register(newExport) }

func newExport() *cobra.Command {
	var o exportFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a model's training graphs, or a model for inference",
		Long: `export writes the ONNX graphs that training runs: each stage forward and backward, the loss and the optimizer, with a
manifest. They hold no weights. train exports by itself; this is for looking and reuse. Of a Hugging Face directory only config.json is
read. Of an ONNX file that another program exported, export also lists what it found: inputs, outputs, weights, operators.

export --for inference writes a model that text is generated with elsewhere: one model.onnx with a cache of keys and values, its weights
in model.onnx.data, genai_config.json, config.json and the tokenizer's files. ONNX Runtime GenAI opens the folder (og.Model), and so does
Optimum (ORTModelForCausalLM.from_pretrained, use_cache=True); batches may be padded on either side. An adapter is merged with its base.

--weights float32 computes what generate does. source keeps float16 and bfloat16 matrices as they are, at half the size; ONNX Runtime casts
them to float32 when it opens the model, so memory and speed are those of float32. int8 and int4 store matrices in blocks of 32 numbers that
share a scale, which its operators MatMulNBits and GatherBlockQuantized read; int4 keeps embedding and head in 8 bits. --check FILE measures
what that costs: how far the log-probabilities of answers' tokens, 4,096 of them, lie from the model's own.`,
		Example: `  dpo-ort export --model models/llama --out graphs
  dpo-ort export --model exported/model.onnx --out graphs
  dpo-ort export --model models/llama --print block.stash.grad
  dpo-ort export --model aligned --for inference --out deployed
  dpo-ort export --model aligned --for inference --weights int4 --check held-out.parquet --out deployed-int4`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runExport(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.model, "model", "", "Hugging Face directory (its config.json), or an ONNX file of a language model")
	f.StringVar(&o.out, "out", "", "directory to write")
	f.StringVar(&o.purpose, "for", forTraining, "what for: "+strings.Join(purposes, ", "))
	f.StringVar(&o.loss, "loss", "sigmoid", "loss: "+strings.Join(loss.Names(), ", ")+"; a mixture (sigmoid=1,sft=0.5); or a file, NAME.onnx")
	f.StringVar(&o.divergence, "f-divergence", "", "of losses of h: "+strings.Join(loss.Divergences(), ", ")+" (default reverse_kl)")
	f.StringVar(&o.optimizer, "optimizer", "rmsprop", "optimizer: "+strings.Join(optim.Names(), ", "))
	f.Var(&o.optimizerSettings, "optimizer-settings", "settings of the optimizer, such as beta2=0.95")
	f.StringVar(&o.dtype, "dtype", "float32", dtypeUsage())
	f.StringSliceVar(&o.rungs, "rung", []string{"stash", "probs", "recompute"}, "what layers keep: backward graphs to write")
	f.StringVar(&o.print, "print", "", "write this graph as text to stdout")
	o.bind(f)
	return cmd
}

func runExport(cmd *cobra.Command, o exportFlags) error {
	if err := dpo.OneOf("for", o.purpose, purposes); err != nil {
		return err
	}
	if err := onlyFor(cmd, o.purpose); err != nil {
		return err
	}
	if o.purpose == forInference {
		o.Model, o.Out = o.model, o.out
		return runInference(cmd, o.inferenceFlags)
	}
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
	if err := dpo.OneOf("dtype", o.dtype, dpo.DTypes()); err != nil {
		return err
	}
	compute, err := onnx.ParseDType(o.dtype)
	if err != nil {
		return err
	}
	x := dpo.Export{Types: models.Types{Compute: compute, Weights: onnx.Float32, Fused: compute != onnx.Float32}, Loss: l, Optimizer: o.optimizer,
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

// onlyFor refuses flags that are given and belong to the other purpose.
func onlyFor(cmd *cobra.Command, purpose string) error {
	others := map[string][]string{
		forTraining:  {"weights", "check", "overwrite", "threads", "json"},
		forInference: {"loss", "f-divergence", "optimizer", "optimizer-settings", "dtype", "rung", "print"},
	}[purpose]
	for _, name := range others {
		if cmd.Flags().Changed(name) {
			return dpo.Usage("export --for %s has no use for --%s", purpose, name)
		}
	}
	return nil
}
