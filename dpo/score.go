package dpo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

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

	Warnings []datasets.Warning `json:",omitempty"` // about the data, once all rows are written
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
	rowJob[storedScores]
	kind  datasets.Kind
	made  job
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
	if err := unwritten(j.Out, j.Overwrite); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.closeJob()) }()
	if err := j.open(j.Data, datasets.Options{Columns: j.Columns}); err != nil {
		return err
	}
	j.tell, j.kind = j.count, j.tables[0].Kind()
	j.first, j.last = j.Shard.rows(j.last)
	j.event.Total = j.last - j.first
	if err := writable(func() (*datasets.TableWriter, error) { return j.create(nil) }); err != nil {
		return err
	}
	if err := j.compute(ctx, tok, yield); err != nil {
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
	return j.keep(j.computed(ctx, scorer), yield)
}

// computed yields the windows that are not in the parts. While one is computed the next is read and tokenized, and what has
// become of the one before can be written. A window that was begun is finished.
func (j *scoring) computed(ctx context.Context, s *Scorer) iter.Seq2[doneRows[storedScores], error] {
	const workers, ahead = 1, 0
	return inOrder(inOrder(j.windows(j.parts.next), workers, ahead, s.encode), workers, ahead, func(w together) doneRows[storedScores] {
		if ctx.Err() != nil {
			return doneRows[storedScores]{err: ErrInterrupted}
		}
		scores, err := s.compute(w)
		if err != nil {
			return doneRows[storedScores]{err: err}
		}
		return doneRows[storedScores]{rows: storeScores(scores)}
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
	p, err := openParts[storedScores](j.Out, j.made, j.Overwrite)
	if err == nil {
		j.event.Resumed, err = j.resumeFrom(p)
	}
	return err
}

// count adds results of the rows from one on to what is told of the job.
func (j *scoring) count(first int64, rows []storedScores) error {
	for i, s := range rows {
		if s.Error != "" {
			if j.Strict {
				file, row := j.place(first + int64(i))
				return fmt.Errorf("score row %d of %s: %s (without --strict the column error says so, and the others are scored)", row, file, s.Error)
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
	err = j.merge(ctx, w, func(_ int64, row datasets.Row, made storedScores) error {
		return w.Write(row, made.scores(j.Beta).columns(j.kind, j.Ref != "")...)
	})
	if err != nil {
		return err
	}
	return j.parts.remove()
}
