package dpo

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// referenceColumns gives the reference's log-probabilities that the data has in its ref_ columns, where score computed
// them with the reference and the encoding of this run; nil for all other rows. Columns that score computed otherwise are
// stale, and refused. Those of unknown origin are left alone, and those of rows that were scored whole and are cut here.
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
		return t.lacking(examples[first:], refs.Train[first:])
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
	if use := t.columns[x.File]; use == ofAll || use == ofWhole && !x.Truncated {
		return x.Ref, nil
	}
	return nil, err
}

// columnUse is for which rows of a file the ref_ columns hold.
type columnUse int

const (
	ofNone  columnUse = iota
	ofWhole           // those that this run does not cut, as score, without --max-length, cut none
	ofAll
)

// fresh tells for which rows the ref_ columns of a file are what this run needs; an error says in what they differ from that.
func (t *Trainer) fresh(file string) (columnUse, error) {
	table, err := datasets.OpenTable(file, t.reading())
	if err != nil {
		return ofNone, err
	}
	text, there := table.Metadata()[metadataKey]
	if err := table.Close(); err != nil || !there {
		return ofNone, err
	}
	var was identity
	if err := readStrictly([]byte(text), &was); err != nil {
		return ofNone, fmt.Errorf("ref_ columns of %s: what they were computed with (%s in its metadata) cannot be read: %w; give --ref-columns ignore to have the reference computed",
			file, metadataKey, err)
	}
	if was.Ref == "" {
		return ofNone, nil // scored without a reference: the columns are older
	}
	was.Model, was.Beta = "", 0
	use, is := ofAll, t.identity
	if was.MaxLength == 0 {
		use, was.MaxLength, was.MaxPromptLength, was.Truncate = ofWhole, is.MaxLength, is.MaxPromptLength, is.Truncate
	}
	stale, err := differences(was, is)
	if err != nil {
		return ofNone, err
	}
	if t.identity.Tokenizer == "" {
		stale = append(stale, "tokenizer is unknown")
	}
	if stale != nil {
		return ofNone, fmt.Errorf("the ref_ columns of %s are stale, they were not computed as this run would: %s; "+
			"%sscore it again with this reference%s, or give --ref-columns ignore to have the reference computed", file, strings.Join(stale, "; "), was.asRun(is), is.flags(" and", was))
	}
	return use, nil
}

// asRun says by which flags a run would take what has been scored, where flags are enough.
func (id identity) asRun(run identity) string {
	flags := id.flags("train with", run)
	id.MaxLength, id.MaxPromptLength, id.Truncate, id.EOS, id.DType, id.TF32 = run.MaxLength, run.MaxPromptLength, run.Truncate, run.EOS, run.DType, run.TF32
	if other, err := differences(id, run); err != nil || other != nil || run.Tokenizer == "" {
		return ""
	}
	return flags + ", or "
}

// flags are those in which an identity differs from another, after a word: " and --eos add"; "" for none.
func (id identity) flags(word string, other identity) (flags string) {
	add := func(name string, value, than any) {
		if value != than {
			flags += fmt.Sprintf(" --%s %v", name, value)
		}
	}
	add("max-length", id.MaxLength, other.MaxLength)
	add("max-prompt-length", id.MaxPromptLength, other.MaxPromptLength)
	add("truncate", id.Truncate, other.Truncate)
	add("eos", id.EOS, other.EOS)
	if id.TF32 != other.TF32 {
		flags += fmt.Sprintf(" --tf32=%v", id.TF32)
	}
	add("dtype", cmp.Or(id.DType, "float32"), cmp.Or(other.DType, "float32"))
	if flags == "" {
		return ""
	}
	return word + flags
}

// lacking names the first row whose reference is not known.
func (t *Trainer) lacking(examples []datasets.Example, known [][]float64) error {
	for i, x := range examples {
		if known[i] == nil {
			if t.columns[x.File] == ofWhole {
				return fmt.Errorf("ref-columns is require, but row %d of %s was scored whole, and is cut to --max-length %d: score the file with%s, or raise that, or give --ref-columns use", x.Row, x.File,
					t.MaxLength, t.identity.flags("", identity{EOS: t.EOS, DType: t.identity.DType, TF32: t.identity.TF32}))
			}
			return fmt.Errorf("ref-columns is require, but row %d of %s has no ref_ columns that score is known to have computed: score the file with --ref", x.Row, x.File)
		}
	}
	return nil
}
