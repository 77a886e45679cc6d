package dpo

import (
	"errors"
	"fmt"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// Drop is a row that holds nothing to learn from, as run/dropped.jsonl lists it.
type Drop struct {
	File   string `json:"file"`
	Row    int64  `json:"row"` // 0-based
	Reason string `json:"reason"`
}

// Rows are a data set as token ids, with what happened to it on the way.
type Rows struct {
	Examples  []datasets.Example
	Dropped   []Drop
	Truncated int // rows that had to be cut
	Border    int // tokens that span the border of a prompt and its completion
}

// ReadRows tokenizes all groups of the files. A row that is broken ends the reading; one that cannot be used is dropped.
func ReadRows(patterns []string, enc *datasets.Encoder, vocabulary int) (*Rows, error) {
	files, err := datasets.Expand(patterns)
	if err != nil {
		return nil, err
	}
	rows := &Rows{}
	for group, err := range datasets.Read(files, datasets.Options{}) {
		if err != nil {
			return nil, fmt.Errorf("read preferences: %w", err)
		}
		if err := rows.add(group, enc, vocabulary); err != nil {
			return nil, err
		}
	}
	if len(rows.Examples) == 0 {
		return nil, fmt.Errorf("read preferences: no usable row in %v (%d dropped)%s", files, len(rows.Dropped), firstReason(rows.Dropped))
	}
	return rows, nil
}

func firstReason(dropped []Drop) string {
	if len(dropped) == 0 {
		return ": there is no row"
	}
	return fmt.Sprintf("; row %d of %s: %s (dpo-ort data validate names them all)", dropped[0].Row, dropped[0].File, dropped[0].Reason)
}

func (r *Rows) add(group datasets.Group, enc *datasets.Encoder, vocabulary int) error {
	x, err := enc.Encode(group)
	var drop *datasets.DropError
	switch {
	case errors.As(err, &drop):
		r.Dropped = append(r.Dropped, Drop{group.File, group.Row, drop.Reason})
		return nil
	case err != nil:
		return fmt.Errorf("tokenize row %d of %s: %w", group.Row, group.File, err)
	case len(x.Completions) < 2:
		return fmt.Errorf("row %d of %s has one completion; a preference needs two (columns chosen and rejected, or completions)", group.Row, group.File)
	}
	if err := checkIDs(x, vocabulary); err != nil {
		return fmt.Errorf("row %d of %s: %w", group.Row, group.File, err)
	}
	if scoredTokens(x) == 0 {
		r.Dropped = append(r.Dropped, Drop{group.File, group.Row, "no token to score"})
		return nil
	}
	if x.Truncated {
		r.Truncated++
	}
	r.Border += x.BorderTokens
	r.Examples = append(r.Examples, x)
	return nil
}

// checkIDs refuses token ids that the model has no embedding for.
func checkIDs(x datasets.Example, vocabulary int) error {
	all := [][]int32{x.Prompt}
	for _, c := range x.Completions {
		all = append(all, c.IDs)
	}
	for _, ids := range all {
		for _, id := range ids {
			if id < 0 || int(id) >= vocabulary {
				return fmt.Errorf("token id %d outside the model's vocabulary of %d: tokenizer and model do not belong together", id, vocabulary)
			}
		}
	}
	return nil
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

// scored is how many tokens of completion k are scored: all from its start, but for the very first of a sequence.
func scored(x datasets.Example, k int) int {
	start := x.Completions[k].Start
	if len(x.Prompt) == 0 {
		start = max(start, 1)
	}
	return max(len(x.Completions[k].IDs)-start, 0)
}
