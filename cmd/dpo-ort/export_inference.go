package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/models"
)

// inferenceFlags are those of export --for inference.
type inferenceFlags struct {
	dpo.InferenceConfig
	talk talk
}

func (o *inferenceFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&o.Weights, "weights", models.Float32Weights, "of inference: type of the matrices: "+strings.Join(models.InferenceWeights, ", ")+
		"; source is each tensor's own, cast as the model is opened")
	f.StringSliceVar(&o.Check, "check", nil, "of inference: Parquet, JSONL or JSON files of preferences, whose answers' log-probabilities are compared with the model's own")
	f.BoolVar(&o.Overwrite, "overwrite", false, "of inference: replace --out where it is a model for inference")
	f.IntVar(&o.Threads, "threads", 0, "of inference: threads of the check; 0: one a core")
	o.talk.bind(f)
}

// runInference writes a model for inference, and tells what it came to.
func runInference(cmd *cobra.Command, o inferenceFlags) error {
	switch {
	case o.Model == "" || o.Out == "":
		return dpo.Usage("export --for inference needs --model and --out")
	case o.Threads < 0:
		return dpo.Usage("threads must not be negative, it is %d", o.Threads)
	}
	if err := dpo.OneOf("weights", o.Weights, models.InferenceWeights); err != nil {
		return err
	}
	tok, err := tokenizerWith(o.Model, "")
	if err != nil {
		return err
	}
	defer tok.Close()
	progress := o.talk.progress(cmd.ErrOrStderr())
	var last dpo.InferenceEvent
	for e, err := range dpo.ExportInference(cmd.Context(), o.InferenceConfig, tok) {
		if err != nil {
			progress.end()
			return err
		}
		if last = e; e.Phase != "" {
			progress.show(dpo.Event{Phase: e.Phase, Done: e.Done, Total: e.Total})
		}
	}
	progress.end()
	text := fmt.Sprintf("weights   %s: %s (%s in float32)\n", o.Weights, size(last.Bytes), size(last.Float32))
	if e := last.Error; e != nil {
		text += fmt.Sprintf("check     %d tokens of answers: log-probabilities differ by %.2g on average, %.2g at most; mean %.4f, the model's own %.4f\n",
			e.Tokens, e.Mean, e.Most, e.Got, e.Expected)
	}
	return o.talk.result(cmd.OutOrStdout(), last, text+fmt.Sprintf("written   %s: %s for ONNX Runtime GenAI, Optimum and ONNX Runtime\n", o.Out, models.InferenceModel))
}
