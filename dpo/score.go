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

// Rows are scored together in windows: enough to fill micro-batches of near lengths, few to hold. The first is small, so
// that a user soon sees the first rows scored; each next one is twice as large, up to the largest.
const (
	firstWindow   = 16
	largestWindow = 256
)

// metadataKey is where a scored file says what its numbers were computed with.
const metadataKey = "dpo-ort.score"

// ScoreEvent is progress of scoring.
type ScoreEvent struct {
	Rows, Total int64
	Failed      int64 // rows with an error
	Tokens      int64 // scored so far
}

// Score scores every row of files and writes them, all their columns kept, with the results added. The file out
// appears whole at the end. A row that cannot be scored gets its error in the column error.
func Score(ctx context.Context, c ScoreConfig, tok datasets.Tokenizer, data []string, out string, overwrite bool) iter.Seq2[ScoreEvent, error] {
	return func(yield func(ScoreEvent, error) bool) {
		err := scoreFiles(ctx, c, tok, data, out, overwrite, func(e ScoreEvent) bool { return yield(e, nil) })
		if err != nil && !errors.Is(err, errStopped) {
			yield(ScoreEvent{}, err)
		}
	}
}

func scoreFiles(ctx context.Context, c ScoreConfig, tok datasets.Tokenizer, data []string, out string, overwrite bool, yield func(ScoreEvent) bool) (err error) {
	if _, err := os.Stat(out); err == nil && !overwrite {
		return fmt.Errorf("%s is there already: give --overwrite to replace it, or another --out", out)
	}
	tables, total, err := datasets.OpenTables(data, datasets.Options{})
	if err != nil {
		return err
	}
	defer func() {
		for _, t := range tables {
			err = errors.Join(err, t.Close())
		}
	}()
	scorer, err := NewScorer(c, tok)
	if err != nil {
		return err
	}
	defer scorer.Close()
	meta, err := scorer.metadata()
	if err != nil {
		return err
	}
	kind := tables[0].Kind()
	w, err := datasets.CreateTable(out, tables[0], scoreColumns(kind, c.Ref != ""), datasets.TableOptions{Metadata: meta, Overwrite: overwrite})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Abort()) }() // does nothing after Close
	e := ScoreEvent{Total: total}
	for _, t := range tables {
		for rows, err := range windows(t) {
			if err == nil {
				err = scorer.window(w, kind, rows, &e)
			}
			switch {
			case err != nil:
				return err
			case !yield(e):
				return errStopped
			case ctx.Err() != nil:
				return fmt.Errorf("%w after %d of %d rows; nothing was written", ErrInterrupted, e.Rows, e.Total)
			}
		}
	}
	return w.Close()
}

// windows cuts a table into rows that are scored together.
func windows(t *datasets.Table) iter.Seq2[[]datasets.Row, error] {
	return func(yield func([]datasets.Row, error) bool) {
		var rows []datasets.Row
		size := firstWindow
		for row, err := range t.Rows(0) {
			if err != nil {
				yield(nil, err)
				return
			}
			if rows = append(rows, row); len(rows) == size {
				if !yield(rows, nil) {
					return
				}
				rows, size = nil, min(2*size, largestWindow)
			}
		}
		if len(rows) > 0 {
			yield(rows, nil)
		}
	}
}

// window scores rows and writes them.
func (s *Scorer) window(w *datasets.TableWriter, kind datasets.Kind, rows []datasets.Row, e *ScoreEvent) error {
	var groups []datasets.Group
	for _, row := range rows {
		if row.Err == nil {
			groups = append(groups, row.Group)
		}
	}
	scores, err := s.Score(groups)
	if err != nil {
		return err
	}
	next := 0
	for _, row := range rows {
		r := Scores{Err: row.Err}
		if row.Err != nil {
			r.Err = reason(row.Err)
		} else {
			r = scores[next]
			next++
		}
		if err := w.Write(row, r.columns(kind, s.ref != nil)...); err != nil {
			return err
		}
		e.Rows++
		if r.Err != nil {
			e.Failed++
		}
		for _, n := range r.Tokens {
			e.Tokens += n
		}
	}
	return nil
}

// scoreColumns are what is added to a table.
func scoreColumns(kind datasets.Kind, ref bool) []datasets.Column {
	var out []datasets.Column
	add := func(t datasets.ColumnType, only bool, names ...string) {
		for _, name := range names {
			if only {
				out = append(out, datasets.Column{Name: name, Type: t})
			}
		}
	}
	number, integer := datasets.Float64Column, datasets.Int64Column
	if kind == datasets.Ranked {
		number, integer = datasets.Float64sColumn, datasets.Int64sColumn
	}
	if kind == datasets.Pairs {
		add(number, true, "policy_chosen_logps", "policy_rejected_logps")
		add(number, ref, "ref_chosen_logps", "ref_rejected_logps", "chosen_rewards", "rejected_rewards", "reward_margins")
		add(integer, true, "chosen_tokens", "rejected_tokens")
	} else {
		add(number, true, "policy_logps")
		add(number, ref, "ref_logps", "rewards")
		add(integer, true, "tokens")
	}
	add(datasets.BoolColumn, true, "truncated")
	add(datasets.Float64Column, ref && kind == datasets.Pairs, "gradient_weight")
	add(datasets.StringColumn, true, "error")
	return out
}

// columns are a row's values in the order of scoreColumns.
func (s Scores) columns(kind datasets.Kind, ref bool) []any {
	n := len(scoreColumns(kind, ref))
	if s.Err != nil {
		out := make([]any, n)
		out[n-1] = s.Err.Error()
		return out
	}
	out := make([]any, 0, n)
	switch kind {
	case datasets.Pairs:
		out = append(out, s.Policy[0], s.Policy[1])
		if ref {
			out = append(out, s.Reference[0], s.Reference[1], s.Rewards[0], s.Rewards[1], s.Rewards[0]-s.Rewards[1])
		}
		out = append(out, s.Tokens[0], s.Tokens[1], s.Truncated)
		if ref {
			out = append(out, s.GradientWeight())
		}
	case datasets.Ranked:
		out = append(out, s.Policy)
		if ref {
			out = append(out, s.Reference, s.Rewards)
		}
		out = append(out, s.Tokens, s.Truncated)
	default:
		out = append(out, s.Policy[0])
		if ref {
			out = append(out, s.Reference[0], s.Rewards[0])
		}
		out = append(out, s.Tokens[0], s.Truncated)
	}
	return append(out, nil)
}

// metadata says what the scores depend on, so that whoever takes them as cached can tell stale ones.
func (s *Scorer) metadata() (map[string]string, error) {
	settings := struct {
		Policy          string  `json:"policy"` // digests
		Reference       string  `json:"reference,omitempty"`
		Beta            float64 `json:"beta"`
		MaxLength       int     `json:"max_length"`
		MaxPromptLength int     `json:"max_prompt_length"`
		Truncate        string  `json:"truncate"`
		EOS             string  `json:"eos"`
	}{Beta: s.Beta, MaxLength: s.MaxLength, MaxPromptLength: s.MaxPromptLength, Truncate: s.Truncate, EOS: s.EOS}
	var err error
	if settings.Policy, err = weightsDigest(s.policy.model); err != nil {
		return nil, err
	}
	if s.ref != nil {
		if settings.Reference, err = weightsDigest(s.ref.model); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(settings)
	return map[string]string{metadataKey: string(text)}, err
}
