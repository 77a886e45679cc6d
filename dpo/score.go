package dpo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// ScoreFiles says which rows are scored, and where to.
type ScoreFiles struct {
	Data      []string          // files, globs or folders; all have the same columns
	Columns   map[string]string // the data's names for columns, by ours, as in datasets.Options
	Shard     Shard             // of the rows
	Out       string            // Parquet file
	Overwrite bool              // replaces Out, and columns that the data has already
	Strict    bool              // the first row that cannot be scored ends the job
}

// ScoreEvent is progress of scoring.
type ScoreEvent struct {
	Rows, Total int64
	Failed      int64 // rows with an error
	Tokens      int64 // scored so far
	Resumed     int64 // of Rows: scored before, in a job that was stopped
}

// Score scores rows and writes them, all their columns kept, with the results added. A row that cannot be scored gets its
// error in the column error.
//
// The file Out appears whole at the end. Until then the results lie in the folder Out.parts, which is removed afterwards; a
// job that was stopped in any way goes on from there, to the same bytes. What is held in memory does not grow with the rows.
func Score(ctx context.Context, c ScoreConfig, tok datasets.Tokenizer, f ScoreFiles) iter.Seq2[ScoreEvent, error] {
	return func(yield func(ScoreEvent, error) bool) {
		j := &scoring{ScoreConfig: c, ScoreFiles: f}
		err := j.run(ctx, tok, func() bool { return yield(j.event, nil) })
		if err != nil && !errors.Is(err, errStopped) {
			yield(ScoreEvent{}, err)
		}
	}
}

// scoring is a job of Score.
type scoring struct {
	ScoreConfig
	ScoreFiles
	span
	kind  datasets.Kind
	made  job
	parts *parts[storedScores]
	event ScoreEvent
}

// job is all that a scoring job's results depend on.
type job struct {
	identity
	MicroBatch int    `json:"micro-batch"`
	Device     string `json:"device"`
	Shard      string `json:"shard,omitempty"`
	Data       string `json:"data"` // digest of the files
}

// storedScores is a row's results in a part. Rewards follow from the rest.
type storedScores struct {
	Policy    []float64 `json:"policy,omitempty"`
	Reference []float64 `json:"reference,omitempty"`
	Tokens    []int64   `json:"tokens,omitempty"`
	Truncated bool      `json:"truncated,omitempty"`
	Error     string    `json:"error,omitempty"`
}

func storeScores(scores []Scores) []storedScores {
	rows := make([]storedScores, len(scores))
	for i, s := range scores {
		rows[i] = storedScores{Policy: s.Policy, Reference: s.Reference, Tokens: s.Tokens, Truncated: s.Truncated}
		if s.Err != nil {
			rows[i].Error = s.Err.Error()
		}
	}
	return rows
}

// scores are what was stored.
func (r storedScores) scores(beta float64) Scores {
	s := Scores{Policy: r.Policy, Reference: r.Reference, Tokens: r.Tokens, Truncated: r.Truncated, Rewards: rewards(beta, r.Policy, r.Reference)}
	if r.Error != "" {
		s.Err = errors.New(r.Error)
	}
	return s
}

func (j *scoring) run(ctx context.Context, tok datasets.Tokenizer, yield func() bool) (err error) {
	if _, err := os.Stat(j.Out); err == nil && !j.Overwrite {
		return fmt.Errorf("%s is there already: give --overwrite to replace it, or another --out", j.Out)
	}
	var total int64
	if j.tables, total, err = datasets.OpenTables(j.Data, datasets.Options{Columns: j.Columns}); err != nil {
		return err
	}
	defer func() {
		for _, t := range j.tables {
			err = errors.Join(err, t.Close())
		}
	}()
	j.kind = j.tables[0].Kind()
	j.first, j.last = j.Shard.rows(total)
	j.event.Total = j.last - j.first
	probe, err := j.create(nil) // what stands in the way of writing shows now
	if err != nil {
		return err
	}
	if err := probe.Abort(); err != nil {
		return err
	}
	if err := j.compute(ctx, tok, yield); err != nil {
		return err
	}
	return j.assemble(ctx)
}

// create begins a file of the results.
func (j *scoring) create(metadata map[string]string) (*datasets.TableWriter, error) {
	return datasets.CreateTable(j.Out, j.tables[0], scoreColumns(j.kind, j.Ref != ""), datasets.TableOptions{Metadata: metadata, Overwrite: j.Overwrite, Names: errorsBefore(j.tables[0])})
}

// compute brings the parts to the last row. However it ends, what was computed is kept.
func (j *scoring) compute(ctx context.Context, tok datasets.Tokenizer, yield func() bool) (err error) {
	scorer, err := NewScorer(j.ScoreConfig, tok)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scorer.Close()) }()
	if err := j.resume(scorer); err != nil {
		return err
	}
	if j.event.Resumed > 0 && !yield() {
		return errStopped
	}
	defer func() { err = errors.Join(err, j.parts.commit()) }()
	for w, err := range j.computed(ctx, scorer) {
		if err == nil {
			err = w.err
		}
		if err == nil {
			err = j.count(j.parts.next, w.scores)
		}
		if err == nil {
			err = j.parts.add(storeScores(w.scores))
		}
		switch {
		case errors.Is(err, ErrInterrupted):
			return j.interrupted()
		case err != nil:
			return err
		case !yield():
			return errStopped
		}
	}
	return nil
}

// computed is a window's results, or why there are none.
type computed struct {
	scores []Scores
	err    error
}

// computed yields the windows that are not in the parts. While one is computed the next is read and tokenized, and what has
// become of the one before can be written. A window that was begun is finished.
func (j *scoring) computed(ctx context.Context, s *Scorer) iter.Seq2[computed, error] {
	const workers, ahead = 1, 0
	return inOrder(inOrder(j.windows(j.parts.next), workers, ahead, s.encode), workers, ahead, func(w together) computed {
		if ctx.Err() != nil {
			return computed{err: ErrInterrupted}
		}
		scores, err := s.compute(w)
		return computed{scores, err}
	})
}

// resume finds the parts of a job that was stopped.
func (j *scoring) resume(s *Scorer) (err error) {
	j.made = job{MicroBatch: j.MicroBatch, Device: j.Device, Shard: j.Shard.String()}
	if j.made.identity, err = s.identity(); err != nil {
		return err
	}
	j.made.Columns = j.Columns
	if j.made.Data, err = dataDigest(j.tables); err != nil {
		return err
	}
	if j.parts, err = openParts[storedScores](j.Out, j.made, j.Overwrite); err != nil {
		return err
	}
	for j.parts.next = j.first; j.parts.next < j.last; {
		rows, err := j.parts.read(j.parts.next)
		if err != nil {
			return err
		}
		if rows == nil {
			break
		}
		scores := make([]Scores, len(rows))
		for i, r := range rows {
			scores[i] = r.scores(j.Beta)
		}
		if err := j.count(j.parts.next, scores); err != nil {
			return err
		}
		j.parts.next += int64(len(rows))
	}
	j.event.Resumed = j.event.Rows
	return nil
}

// count adds results of the rows from one on to what is told of the job.
func (j *scoring) count(first int64, scores []Scores) error {
	for i, s := range scores {
		if s.Err != nil {
			if j.Strict {
				file, row := j.place(first + int64(i))
				return fmt.Errorf("score row %d of %s: %w (without --strict the column error says so, and the others are scored)", row, file, s.Err)
			}
			j.event.Failed++
		}
		for _, n := range s.Tokens {
			j.event.Tokens += n
		}
		j.event.Rows++
	}
	return nil
}

func (j *scoring) interrupted() error {
	return interruptedAfter(j.event.Rows, j.event.Total, j.parts.dir)
}

// assemble writes the rows with their results as one file, and removes the parts.
func (j *scoring) assemble(ctx context.Context) error {
	text, err := json.Marshal(j.made.identity)
	if err != nil {
		return fmt.Errorf("write %s: %w", j.Out, err)
	}
	w, err := j.create(map[string]string{metadataKey: string(text)})
	if err != nil {
		return err
	}
	if err := j.merge(ctx, w); err != nil {
		return errors.Join(err, w.Abort())
	}
	if err := w.Close(); err != nil {
		return err
	}
	return j.parts.remove()
}

// merge writes each row with its results.
func (j *scoring) merge(ctx context.Context, w *datasets.TableWriter) error {
	results := &partReader[storedScores]{parts: j.parts, at: j.first}
	for row, err := range j.rows(j.first) {
		var stored storedScores
		if err == nil {
			stored, err = results.next()
		}
		if err == nil {
			err = w.Write(row, stored.scores(j.Beta).columns(j.kind, j.Ref != "")...)
		}
		if err == nil && ctx.Err() != nil {
			err = j.interrupted()
		}
		if err != nil {
			return err
		}
	}
	if results.at != j.last {
		return fmt.Errorf("write %s: the data ends at row %d of %d: was it changed meanwhile?", j.Out, results.at, j.last)
	}
	return nil
}
