package dpo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// Drop is a row that holds nothing to learn from, as run/dropped.jsonl lists it.
type Drop struct {
	File   string `json:"file"`
	Row    int64  `json:"row"` // 0-based
	Reason string `json:"reason"`
}

// writeDrops writes a line of JSON for each row that was left out.
func writeDrops(path string, drops []Drop) error {
	var text bytes.Buffer
	for _, d := range drops {
		line, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		text.Write(append(line, '\n'))
	}
	return safefile.Write(path, text.Bytes())
}

// Rows are a data set as token ids, with what happened to it on the way.
type Rows struct {
	Examples  []datasets.Example
	Dropped   []Drop
	Truncated int // rows that had to be cut
	Border    int // tokens that span the border of a prompt and its completion
}

// ReadRows tokenizes all groups of the files, on all cores, or takes their token ids from the cache, a folder ("" for none)
// where it leaves them for the next run. A row that cannot be read ends the reading; one that makes no group or has nothing to learn from is dropped.
func ReadRows(patterns []string, o datasets.Options, enc *datasets.Encoder, vocabulary int, cache string) (*Rows, error) {
	files, err := datasets.Expand(patterns)
	if err != nil {
		return nil, err
	}
	e := newEntry(cache, files, o, enc, vocabulary)
	if rows := e.load(); rows != nil {
		return rows, nil
	}
	rows, err := tokenize(files, o, enc, vocabulary)
	if err != nil {
		return nil, err
	}
	e.store(rows)
	return rows, nil
}

func tokenize(files []string, o datasets.Options, enc *datasets.Encoder, vocabulary int) (*Rows, error) {
	rows := &Rows{}
	for r, err := range encodeRows(files, o, enc, vocabulary) {
		if err != nil {
			return nil, err
		}
		rows.add(r)
	}
	if len(rows.Examples) == 0 {
		return nil, rows.none(files)
	}
	return rows, nil
}

// rowsAhead is how many rows wait, or are tokenized and not taken yet, for each core.
const rowsAhead = 16

// encodeRows yields what becomes of each group of the files, in their order; an error is the last.
func encodeRows(files []string, o datasets.Options, enc *datasets.Encoder, vocabulary int) iter.Seq2[encoded, error] {
	return func(yield func(encoded, error) bool) {
		encode := func(group datasets.Group) encoded { return encodeGroup(group, enc, vocabulary) }
		for r, err := range inOrder(datasets.Read(files, o), runtime.GOMAXPROCS(0), rowsAhead, encode) {
			if d := refused(err); d != nil {
				r, err = encoded{drop: d}, nil
			}
			if err != nil {
				err = fmt.Errorf("read preferences: %w", err)
			} else {
				err = r.err
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// none is the error of data without a usable row.
func (r *Rows) none(files []string) error {
	first, hint := ": there is no row", ""
	if len(r.Dropped) > 0 {
		d, s := r.Dropped[0], datasets.NewSurvey()
		for _, d := range r.Dropped {
			s.Drop(d.Reason)
		}
		first = fmt.Sprintf("; row %d of %s: %s (dpo-ort data validate names them all)", d.Row, d.File, d.Reason)
		for _, w := range s.Warnings() {
			if w.Name != "refused-rows" { // whose reason says what to do
				hint = "; hint: " + w.Hint
			}
		}
	}
	return fmt.Errorf("read preferences: no usable row in %v (%d dropped)%s%s", files, len(r.Dropped), first, hint)
}

// encoded is what became of a group: an example, a drop, or an error that ends the reading.
type encoded struct {
	example datasets.Example
	drop    *Drop
	err     error
}

// refused makes a drop of an error that concerns one row alone; nil of any other.
func refused(err error) *Drop {
	var drop *datasets.DropError
	var row *datasets.RowError
	switch {
	case errors.As(err, &drop):
		return &Drop{drop.File, drop.Row, drop.Reason}
	case errors.As(err, &row) && row.Whole:
		return &Drop{row.File, row.Row, row.Err.Error()}
	}
	return nil
}

func encodeGroup(group datasets.Group, enc *datasets.Encoder, vocabulary int) encoded {
	if enc.First && len(group.Completions) < 2 {
		return encoded{err: fmt.Errorf("row %d of %s has one answer; --on chosen takes the best of pairs (chosen, rejected) or rankings: leave it out", group.Row, group.File)}
	}
	x, err := enc.Encode(group)
	if d := refused(err); d != nil {
		return encoded{drop: d}
	}
	if err != nil {
		return encoded{err: fmt.Errorf("tokenize: %w", err)}
	}
	if err := x.CheckIDs(vocabulary); err != nil {
		return encoded{err: fmt.Errorf("row %d of %s: %w", group.Row, group.File, err)}
	}
	if scoredTokens(x) == 0 {
		return encoded{drop: &Drop{group.File, group.Row, "no token to score"}}
	}
	return encoded{example: x}
}

func (r *Rows) add(e encoded) {
	if e.drop != nil {
		r.Dropped = append(r.Dropped, *e.drop)
		return
	}
	if e.example.Truncated {
		r.Truncated++
	}
	r.Border += e.example.BorderTokens
	r.Examples = append(r.Examples, e.example)
}

// scoredTokens counts the tokens of the completion that has fewest to be scored.
func scoredTokens(x datasets.Example) int {
	least := -1
	for k := range x.Completions {
		if n := scored(x, k); least < 0 || n < least {
			least = n
		}
	}
	return least
}

// scored is how many tokens of completion k are scored: not the very first of a sequence, which nothing predicts.
func scored(x datasets.Example, k int) int {
	c := x.Completions[k]
	if len(x.Prompt) == 0 && c.Scores(0) {
		return max(c.Scored()-1, 0)
	}
	return c.Scored()
}
