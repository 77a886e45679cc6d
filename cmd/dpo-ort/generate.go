package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/dpo"
)

type generateFlags struct {
	dpo.GenerateConfig
	files dpo.GenerateFiles
	talk  talk

	template string
}

func init() { register(newGenerate) }

func newGenerate() *cobra.Command {
	o := generateFlags{GenerateConfig: dpo.NewGenerateConfig()}
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Continue prompts: samples of a model into a Parquet file",
		Long: `generate draws completions of the prompts in a file, of which only the column prompt is needed. The output has a row for each
prompt: the input's columns but for those of answers, and the lists completions, completion_logps (log pi of the tokens drawn, at
temperature 1, the token that ends the text included), completion_tokens and finish_reasons: stop where a text ended by itself or at
a --stop string, length where it reached --max-tokens or the end of the model's context. A prompt that leaves no room in the
context says so in the column error, and the others are continued; --strict ends at the first such row instead.

The same seed gives the same texts, whatever the batch. --top-k, --top-p and --min-p leave out tokens in this order, after the
temperature, as in transformers. Until the output is whole, results are kept in OUT.parts: after Ctrl-C or a crash the same command
goes on from there, to the same bytes.`,
		Example: `  dpo-ort generate --model models/llama --data prompts.parquet --out samples.parquet --samples 4 --seed 1
  dpo-ort generate --model models/llama --data questions.jsonl --columns prompt=question --out answers.parquet --temperature 0
  dpo-ort generate --model models/llama --data prompts.parquet --out samples.parquet --temperature 0.7 --top-p 0.9 --stop '###'`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runGenerate(cmd, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Model, "model", o.Model, "Hugging Face directory of the model")
	f.StringSliceVar(&o.files.Data, "data", nil, "Parquet, JSONL or JSON files with the same columns")
	f.StringVar(&o.files.Out, "out", "", "Parquet file to write")
	bindColumns(f, &o.files.Columns, "prompt=question")
	f.IntVar(&o.Samples, "samples", o.Samples, "completions of each prompt")
	f.IntVar(&o.MaxTokens, "max-tokens", o.MaxTokens, "most tokens of a completion")
	f.Float64Var(&o.Temperature, "temperature", o.Temperature, "what logits are divided by; 0: always the likeliest token")
	f.IntVar(&o.TopK, "top-k", o.TopK, "draw from so many of the likeliest tokens; 0: from all")
	f.Float64Var(&o.TopP, "top-p", o.TopP, "draw from the likeliest tokens that have this share of the probability together; 1: from all")
	f.Float64Var(&o.MinP, "min-p", o.MinP, "draw from tokens at least this share as likely as the likeliest; 0: from all")
	f.StringArrayVar(&o.Stop, "stop", nil, "end a completion before this string; may be given several times")
	f.Int64Var(&o.Seed, "seed", o.Seed, "seed of the draws")
	bindTemplate(f, &o.template)
	f.BoolVar(&o.files.Strict, "strict", false, "stop at the first prompt that cannot be continued")
	f.BoolVar(&o.files.Overwrite, "overwrite", false, "replace --out, columns that the input has already, and parts of another job")
	f.IntVar(&o.Batch, "batch", o.Batch, "sequences continued at once; 0: 16, or 64 of models of up to 16 million parameters and on a GPU")
	f.IntVar(&o.Threads, "threads", o.Threads, "threads; 0: one a core")
	f.StringVar(&o.Device, "device", o.Device, "cpu, or cuda:0")
	bindLimits(f)
	o.talk.bind(f)
	return cmd
}

func runGenerate(cmd *cobra.Command, o generateFlags) error {
	if err := checkGenerate(o); err != nil {
		return err
	}
	stopping.keeps(keptParts(o.files.Out))
	tok, err := tokenizerWith(o.Model, o.template)
	if err != nil {
		return err
	}
	defer tok.Close()
	start := time.Now()
	progress := o.talk.progress(cmd.ErrOrStderr())
	var last dpo.GenerateEvent
	known := int64(0) // tokens of rows that were continued before
	for e, err := range dpo.Generate(cmd.Context(), o.GenerateConfig, tok, o.files) {
		if err != nil {
			progress.end()
			return err
		}
		if last = e; e.Rows == e.Resumed && e.Warnings == nil {
			known = e.Tokens
			if e.Resumed > 0 {
				progress.say("resumed   after %d rows\n", e.Resumed)
			}
			if e.Endless {
				progress.say("no EOS    %s names no token that ends texts: they end at --max-tokens or --stop alone\n", o.Model)
			}
			continue
		}
		progress.show(dpo.Event{Phase: "generate", Done: int(e.Rows), Total: int(e.Total)})
	}
	progress.end()
	seconds := time.Since(start).Seconds()
	text := fmt.Sprintf("generated %d completions of %d rows, %d tokens in %s (%.0f tokens/s); %d ended by themselves\n", last.Samples, last.Rows,
		last.Tokens-known, duration(seconds), float64(last.Tokens-known)/seconds, last.Stopped)
	if last.Failed > 0 {
		text += fmt.Sprintf("failed    %d rows: column error says why\n", last.Failed)
	}
	return o.talk.result(cmd.OutOrStdout(), last, text+fmt.Sprintf("written   %s\n", o.files.Out)+warningLines(last.Warnings))
}

// checkGenerate refuses what makes no sense.
func checkGenerate(o generateFlags) error {
	if err := checkColumns(o.files.Columns); err != nil {
		return err
	}
	switch {
	case len(o.files.Data) == 0:
		return dpo.Usage("data is missing: name a Parquet or JSONL file")
	case o.files.Out == "":
		return dpo.Usage("out is missing: name the Parquet file to write")
	}
	return o.Check()
}
