package dpo

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// referenceColumns gives the reference's log-probabilities that the data has in its ref_ columns, where score computed
// them with the reference and the encoding of this run; nil for all other rows. Columns that score computed otherwise are
// stale, and refused. Those of unknown origin are left alone.
func (t *Trainer) referenceColumns() (*references, error) {
	refs := &references{Digest: t.referenceDigest(t.dataDigest())}
	held := &references{}
	err := errors.Join(t.recall(refs, t.rows.Examples), t.recall(held, t.eval.Examples))
	refs.Eval = held.Train
	return refs, err
}

// recall extends references to those of the examples, in their order, that they lack.
func (t *Trainer) recall(refs *references, examples []datasets.Example) error {
	var wrong []error
	first := len(refs.Train)
	for _, x := range examples[first:] {
		ref, err := t.column(x)
		if err != nil {
			wrong = append(wrong, err)
		}
		refs.Train = append(refs.Train, ref)
	}
	if wrong == nil && t.RefColumns == "require" {
		return lacking(examples[first:], refs.Train[first:])
	}
	return errors.Join(wrong...)
}

// column gives what the data says of an example's reference, if it can be used; zeros where the run has none. A file whose columns are
// stale is an error once.
func (t *Trainer) column(x datasets.Example) (ref []float64, err error) {
	if t.unreferenced() {
		return make([]float64, len(x.Completions)), nil
	}
	if t.RefColumns == "ignore" {
		return nil, nil
	}
	if _, seen := t.columns[x.File]; !seen && x.Ref != nil {
		t.columns[x.File], err = t.fresh(x.File)
	}
	if t.columns[x.File] {
		return x.Ref, nil
	}
	return nil, err
}

// fresh tells whether the ref_ columns of a file are score's; an error says in what they differ from what this run needs.
func (t *Trainer) fresh(file string) (bool, error) {
	table, err := datasets.OpenTable(file, t.reading())
	if err != nil {
		return false, err
	}
	text, there := table.Metadata()[metadataKey]
	if err := table.Close(); err != nil || !there {
		return false, err
	}
	var was identity
	if err := readStrictly([]byte(text), &was); err != nil {
		return false, fmt.Errorf("ref_ columns of %s: what they were computed with (%s in its metadata) cannot be read: %w; give --ref-columns ignore to have the reference computed",
			file, metadataKey, err)
	}
	if was.Ref == "" {
		return false, nil // scored without a reference: the columns are older
	}
	was.Model, was.Beta = "", 0
	stale, err := differences(was, t.identity)
	if err != nil {
		return false, err
	}
	if t.identity.Tokenizer == "" {
		stale = append(stale, "tokenizer is unknown")
	}
	if stale != nil {
		return false, fmt.Errorf("the ref_ columns of %s are stale, they were not computed as this run would: %s; "+
			"score it again with this reference and these settings, or give --ref-columns ignore to have the reference computed", file, strings.Join(stale, "; "))
	}
	return true, nil
}

// lacking names the first row whose reference is not known.
func lacking(examples []datasets.Example, known [][]float64) error {
	for i, x := range examples {
		if known[i] == nil {
			return fmt.Errorf("ref-columns is require, but row %d of %s has no ref_ columns that score is known to have computed: score the file with --ref", x.Row, x.File)
		}
	}
	return nil
}
