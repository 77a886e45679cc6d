package dpo

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// Prompts are continued in windows, each alone, whose borders are a function of the row's number: so what is computed together depends
// neither on a restart nor on how many generators there are.

// windowAt is how many rows the window that begins at a row has: enough for a few batches, up to the next multiple.
func (s *Sampler) windowAt(at int64) int64 {
	const batches = 4
	size := max(int64(batches*s.Batch/s.Samples), 1)
	return size - at%size
}

// promptWindow are prompts to be continued together, or why one cannot be.
type promptWindow struct {
	first   int64 // row
	prompts []datasets.Text
	errs    []error // of each prompt; nil where there are none
}

// sampledRow is what became of a prompt, as it lies in a part.
type sampledRow struct {
	Samples []Sample `json:"samples,omitempty"`
	Error   string   `json:"error,omitempty"`

	prompt datasets.Text // not kept in parts
	ids    []int32       // of the prompt
}

// cut makes windows of prompts from a row on.
func (s *Sampler) cut(first int64, prompts []datasets.Text) iter.Seq2[promptWindow, error] {
	return func(yield func(promptWindow, error) bool) {
		for len(prompts) > 0 {
			n := min(s.windowAt(first), int64(len(prompts)))
			if !yield(promptWindow{first: first, prompts: prompts[:n]}, nil) {
				return
			}
			first, prompts = first+n, prompts[n:]
		}
	}
}

// promptWindows yields windows of the prompts of rows from one on.
func (s *Sampler) promptWindows(rows span, first int64) iter.Seq2[promptWindow, error] {
	return func(yield func(promptWindow, error) bool) {
		for rows, err := range rows.cut(first, s.windowAt) {
			w := promptWindow{first: first}
			for _, row := range rows {
				w.prompts, w.errs = append(w.prompts, row.Group.Prompt), append(w.errs, row.Err)
			}
			if !yield(w, err) {
				return
			}
			first += int64(len(rows))
		}
	}
}

// sampled continues windows on all generators, and yields them in their order.
func (s *Sampler) sampled(ctx context.Context, windows iter.Seq2[promptWindow, error]) iter.Seq2[doneRows[sampledRow], error] {
	return inOrder(windows, len(s.generators), 0, func(w promptWindow) doneRows[sampledRow] {
		g := <-s.free
		defer func() { s.free <- g }()
		rows, err := g.window(ctx, w)
		return doneRows[sampledRow]{rows, err}
	})
}

// window continues the prompts of a window.
func (g *generator) window(ctx context.Context, w promptWindow) ([]sampledRow, error) {
	rows := make([]sampledRow, len(w.prompts))
	var usable []*prompt
	for i, text := range w.prompts {
		rows[i].prompt = text
		var p *prompt
		var err error
		if w.errs != nil {
			err = w.errs[i]
		}
		if err == nil {
			p, err = g.prompt(w.first+int64(i), text)
		}
		switch {
		case errors.Is(err, datasets.ErrMessages):
			return nil, fmt.Errorf("continue row %d: %w", w.first+int64(i), err)
		case err != nil:
			rows[i].Error = reason(err).Error()
			continue
		}
		rows[i].Samples, rows[i].ids, usable = p.samples, p.ids, append(usable, p)
	}
	if err := g.run(ctx, usable); err != nil {
		return nil, err // rows are not whole
	}
	return rows, nil
}

// prompt makes ready to continue a text.
func (g *generator) prompt(row int64, text datasets.Text) (*prompt, error) {
	ids, err := datasets.EncodePrompt(g.tok, text)
	if err != nil {
		return nil, err
	}
	if err := (datasets.Example{Prompt: ids}).CheckIDs(g.model().Vocab); err != nil {
		return nil, err
	}
	if len(ids) >= g.context {
		return nil, fmt.Errorf("the prompt's %d tokens leave no room in the model's context of %d (%s)", len(ids), g.context, g.bound)
	}
	p := &prompt{row: row, ids: ids, most: min(g.MaxTokens, g.context-len(ids)), samples: make([]Sample, g.Samples)}
	p.text, err = g.tok.Decode(ids)
	return p, err
}
