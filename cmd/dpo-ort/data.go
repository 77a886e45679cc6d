package main

import (
	"fmt"
	"iter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/models"
)

func init() { register(newData) }

func newData() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Convert, inspect and validate preference data",
		Example: `  dpo-ort data inspect --data pairs.parquet --model models/llama
  dpo-ort data validate --data 'prefs/*.jsonl' --model models/llama --max-length 1024
  dpo-ort data convert --data pairs.jsonl --out pairs.parquet`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDataInspect(), newDataValidate(), newDataConvert())
	for _, sub := range cmd.Commands() {
		sub.Args = noArgs
	}
	return cmd
}

// encodeFlags say how rows become tokens, as train has them.
type encodeFlags struct {
	columns                              map[string]string
	model, template, truncate, eos, ties string
	maxLength, maxPromptLength           int
}

func (o *encodeFlags) bind(f *pflag.FlagSet) {
	bindColumns(f, &o.columns, "prompt=question,chosen=good")
	f.StringVar(&o.model, "model", "", "Hugging Face directory whose tokenizer counts tokens; without it, text alone is looked at")
	bindTemplate(f, &o.template)
	f.IntVar(&o.maxLength, "max-length", 512, "most tokens of a prompt and its longest answer together; 0: no bound")
	f.IntVar(&o.maxPromptLength, "max-prompt-length", 256, "what a prompt is cut to where max-length is exceeded")
	f.StringVar(&o.truncate, "truncate", "prompt", "what exceeds max-length loses: prompt (its start, then the answers' ends) or end")
	f.StringVar(&o.eos, "eos", "add", "end each answer with EOS (add), or take it as it is (keep)")
	f.StringVar(&o.ties, "ties", "average", "answers of one rank or score: average, or drop: rows in which all are tied are dropped")
}

// encoder makes the encoder; end releases it.
func (o *encodeFlags) encoder() (enc *datasets.Encoder, end func(), err error) {
	switch {
	case o.maxLength < 0 || o.maxLength == 1 || o.maxPromptLength < 1:
		return nil, nil, dpo.Usage("max-length must be 0 or at least 2, max-prompt-length at least 1")
	case o.eos != "add" && o.eos != "keep":
		return nil, nil, dpo.Usage("eos must be add or keep, it is %q", o.eos)
	case o.truncate != "prompt" && o.truncate != "end":
		return nil, nil, dpo.Usage("truncate must be prompt or end, it is %q", o.truncate)
	}
	if err := checkColumns(o.columns); err != nil {
		return nil, nil, err
	}
	if err := dpo.OneOf("ties", o.ties, []string{"average", "drop"}); err != nil {
		return nil, nil, err
	}
	enc = &datasets.Encoder{Ties: datasets.TiePolicy(o.ties), MaxLength: o.maxLength, MaxPromptLength: o.maxPromptLength, KeepStart: o.truncate == "end", EOS: datasets.EOSPolicy(o.eos)}
	if o.model == "" {
		return enc, func() {}, nil
	}
	tok, err := tokenizerWith(o.model, o.template)
	if err != nil {
		return nil, nil, err
	}
	enc.Tokenizer = tok
	if _, d, err := models.Describe(o.model); err == nil { // a folder of a tokenizer alone has no model to compare with
		enc.Vocabulary = d.Vocab
	}
	return enc, func() { tok.Close() }, nil
}

// follow shows the progress of a verb over rows, and gives its last event. rows tells how many an event has seen, and of how
// many, 0 where that is not known; the loop ends before all of them where the user asks for it.
func follow[E any](cmd *cobra.Command, t talk, phase string, events iter.Seq2[E, error], rows func(E) (seen, total int64)) (last E, err error) {
	progress := t.progress(cmd.ErrOrStderr())
	defer progress.end()
	for e, err := range events {
		if err != nil {
			return last, err
		}
		seen, total := rows(e)
		if seen != total && cmd.Context().Err() != nil {
			return last, fmt.Errorf("%w after %d rows", dpo.ErrInterrupted, seen)
		}
		last = e
		progress.show(dpo.Event{Phase: phase, Done: int(seen), Total: int(total)})
	}
	return last, nil
}
