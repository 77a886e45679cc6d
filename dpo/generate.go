package dpo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// GenerateFiles says which prompts are continued, and where to.
type GenerateFiles struct {
	Data      []string          // files, globs or folders; all have the same columns
	Columns   map[string]string // the data's names for columns, by ours, as in datasets.Options
	Out       string            // Parquet file
	Overwrite bool              // replaces Out, and columns that the data has already
	Strict    bool              // the first prompt that cannot be continued ends the job
}

// GenerateEvent is progress of generating.
type GenerateEvent struct {
	Rows, Total     int64
	Failed          int64 // rows with an error
	Samples, Tokens int64
	Stopped         int64 // of Samples: ended by themselves, or at a stop string
	Resumed         int64 // of Rows: continued before, in a job that was stopped
	Endless         bool  // the model names no token that ends texts

	Warnings []datasets.Warning `json:",omitempty"` // about the data, once all rows are written
}

// generateMetadata is where a generated file has what it was made with, as JSON.
const generateMetadata = "dpo-ort.generate"

// Generate continues the prompts of files and writes a row for each: its columns but for those of answers, and the lists completions,
// completion_logps, completion_tokens and finish_reasons. A prompt that cannot be continued has its error in the column error.
//
// The file Out appears whole at the end. Until then the results lie in the folder Out.parts, which is removed afterwards; a job
// that was stopped in any way goes on from there, to the same bytes.
func Generate(ctx context.Context, c GenerateConfig, tok datasets.Tokenizer, f GenerateFiles) iter.Seq2[GenerateEvent, error] {
	return func(yield func(GenerateEvent, error) bool) {
		j := &generating{GenerateFiles: f}
		err := j.run(ctx, c, tok, func() bool { return yield(j.event, nil) })
		if err != nil && !errors.Is(err, errStopped) {
			yield(GenerateEvent{}, err)
		}
	}
}

// generating is a job of Generate.
type generating struct {
	GenerateFiles
	rowJob[sampledRow]
	made  generateJob
	event GenerateEvent
}

// generateJob is all that samples depend on, under the names of the flags. Model, tokenizer and data are digests.
type generateJob struct {
	Model       string            `json:"model"`
	Tokenizer   string            `json:"tokenizer"` // "" if unknown
	Template    string            `json:"template,omitempty"`
	Samples     int               `json:"samples"`
	MaxTokens   int               `json:"max-tokens"`
	Temperature float64           `json:"temperature"`
	TopK        int               `json:"top-k"`
	TopP        float64           `json:"top-p"`
	MinP        float64           `json:"min-p"`
	Stop        []string          `json:"stop,omitempty"`
	Seed        int64             `json:"seed"`
	Batch       int               `json:"batch"`
	Device      string            `json:"device,omitempty"` // its kind; "" for the CPU
	Columns     map[string]string `json:"columns,omitempty"`
	Data        string            `json:"data"`
}

// job says what samples of the data depend on.
func (s *Sampler) job(data string, columns map[string]string) (j generateJob, err error) {
	j = generateJob{Samples: s.Samples, MaxTokens: s.MaxTokens, Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP,
		Stop: s.Stop, Seed: s.Seed, Batch: s.Batch, Columns: columns, Data: data}
	if !s.device.OnHost() {
		j.Device = s.device.Kind.String()
	}
	if d, ok := s.tok.(digester); ok {
		j.Tokenizer, j.Template = d.Digests()
	}
	j.Model, err = weightsDigest(s.model())
	return j, err
}

func (j *generating) run(ctx context.Context, c GenerateConfig, tok datasets.Tokenizer, yield func() bool) (err error) {
	if err := unwritten(j.Out, j.Overwrite); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.closeJob()) }()
	if err := j.open(j.Data, datasets.Options{Columns: j.Columns, PromptOnly: true}); err != nil {
		return err
	}
	j.tell, j.event.Total = j.count, j.last
	if err := writable(func() (*datasets.TableWriter, error) { return j.create(nil) }); err != nil {
		return err
	}
	if err := j.compute(ctx, c, tok, yield); err != nil {
		return err
	}
	if err := j.assemble(ctx); err != nil {
		return err
	}
	if j.event.Warnings = j.noted.Warnings(); j.event.Warnings != nil {
		yield()
	}
	return nil
}

// create begins a file of the results.
func (j *generating) create(metadata map[string]string) (*datasets.TableWriter, error) {
	t := j.tables[0]
	return datasets.CreateTable(j.Out, t, []datasets.Column{
		{Name: "completions", Type: datasets.StringsColumn}, {Name: "completion_logps", Type: datasets.Float64sColumn},
		{Name: "completion_tokens", Type: datasets.Int64sColumn}, {Name: "finish_reasons", Type: datasets.StringsColumn},
		{Name: "error", Type: datasets.StringColumn},
	}, datasets.TableOptions{Metadata: metadata, Overwrite: j.Overwrite, Names: leftOut(t.Answers())})
}

// errorsBefore leaves out the column error of the stage before, generate or label: a row with one has no answers, and gets one anew.
func errorsBefore(t *datasets.Table) map[string]string {
	m := t.Metadata()
	if m[generateMetadata] == "" && m[labelKey] == "" {
		return map[string]string{}
	}
	return leftOut([]string{"error"})
}

// leftOut names columns that a table is written without.
func leftOut(columns []string) map[string]string {
	names := map[string]string{}
	for _, name := range columns {
		names[name] = ""
	}
	return names
}

// columns are a row's values in the order of create.
func (r sampledRow) columns() []any {
	if r.Error != "" {
		return []any{nil, nil, nil, nil, r.Error}
	}
	var texts, reasons []string
	var logps []float64
	var tokens []int64
	for _, s := range r.Samples {
		texts, reasons = append(texts, s.Text), append(reasons, s.Finish)
		logps, tokens = append(logps, s.LogProb), append(tokens, int64(s.Tokens))
	}
	return []any{texts, logps, tokens, reasons, nil}
}

// compute brings the parts to the last row. However it ends, windows that are whole are kept.
func (j *generating) compute(ctx context.Context, c GenerateConfig, tok datasets.Tokenizer, yield func() bool) (err error) {
	sampler, err := NewSampler(c, tok)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sampler.Close()) }()
	j.event.Endless = sampler.Endless()
	if err := j.resume(sampler); err != nil {
		return err
	}
	if !yield() {
		return errStopped
	}
	return j.keep(sampler.sampled(ctx, sampler.promptWindows(j.span, j.parts.next)), yield)
}

// resume finds the parts of a job that was stopped.
func (j *generating) resume(s *Sampler) error {
	data, err := dataDigest(j.tables)
	if err != nil {
		return err
	}
	if j.made, err = s.job(data, j.Columns); err != nil {
		return err
	}
	p, err := openParts[sampledRow](j.Out, j.made, j.Overwrite)
	if err == nil {
		j.event.Resumed, err = j.resumeFrom(p)
	}
	return err
}

// count adds rows from one on to what is told of the job.
func (j *generating) count(first int64, rows []sampledRow) error {
	for i, r := range rows {
		if r.Error != "" {
			if j.Strict {
				file, row := j.place(first + int64(i))
				return fmt.Errorf("continue row %d of %s: %s (without --strict the column error says so, and the others are continued)", row, file, r.Error)
			}
			j.event.Failed++
		}
		for _, s := range r.Samples {
			j.event.Samples++
			j.event.Tokens += int64(s.Tokens)
			if s.Finish == FinishStop {
				j.event.Stopped++
			}
		}
		j.event.Rows++
	}
	return nil
}

// assemble writes the rows with their samples as one file, and removes the parts.
func (j *generating) assemble(ctx context.Context) error {
	text, err := json.Marshal(j.made)
	if err != nil {
		return fmt.Errorf("write %s: %w", j.Out, err)
	}
	w, err := j.create(map[string]string{generateMetadata: string(text)})
	if err != nil {
		return err
	}
	err = j.merge(ctx, w, func(_ int64, row datasets.Row, made sampledRow) error { return w.Write(row, made.columns()...) })
	if err != nil {
		return err
	}
	return j.parts.remove()
}
