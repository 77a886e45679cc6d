package datasets

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
)

// What is wrong with a row, the worst first.
const (
	FoundBroken  = "broken"  // it cannot be read, at which training stops, or makes no group, and is dropped
	FoundDropped = "dropped" // it holds nothing to learn from
	FoundCut     = "cut"     // it exceeds the encoder's limits
)

var severity = []string{FoundBroken, FoundDropped, FoundCut}

// Validation is what [Validate] has found.
type Validation struct {
	Rows                 int64
	Broken, Dropped, Cut int64
	Findings             []Finding // the worst kind first, then in the order of the files

	reasons map[string]int // index in Findings
}

// Finding is one thing that is wrong, and the rows it is wrong with.
type Finding struct {
	Kind, Reason string // of the first row: numbers in it may differ in others
	Rows         int64
	First        []Place // at most three
}

// Place is where a row lies.
type Place struct {
	File string
	Row  int64 // 0-based; -1 is the file as a whole
	Line int64 // 1-based, of a file of lines; 0 if the file has none
}

func (p Place) String() string {
	switch {
	case p.Row < 0:
		return p.File
	case p.Line > 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s: row %d", p.File, p.Row)
}

// Validate reads all rows of files and says which are broken, would be dropped, or would be cut by an encoder. Without a
// tokenizer the encoder sees only what it can by the text. A file that cannot be read on is a finding too, and the next is read.
// The same Validation comes again and again with more in it; the last is whole.
func Validate(patterns []string, o Options, enc *Encoder) iter.Seq2[*Validation, error] {
	return func(yield func(*Validation, error) bool) {
		files, err := Expand(patterns)
		if err != nil {
			yield(nil, err)
			return
		}
		v := &Validation{reasons: map[string]int{}}
		for _, file := range files {
			before := v.Rows
			for group, err := range Read([]string{file}, o) {
				if err = v.see(file, group, err, enc); err != nil {
					yield(nil, err)
					return
				}
				if v.Rows%progressEvery == 0 && !yield(v, nil) {
					return
				}
			}
			if v.Rows == before && !v.whole(file) {
				v.find(FoundBroken, "the file has no rows", Place{file, -1, 0})
			}
		}
		slices.SortStableFunc(v.Findings, func(a, b Finding) int {
			return slices.Index(severity, a.Kind) - slices.Index(severity, b.Kind)
		})
		yield(v, nil)
	}
}

// whole reports whether something was found about a file as a whole.
func (v *Validation) whole(file string) bool {
	return slices.ContainsFunc(v.Findings, func(f Finding) bool { return slices.Contains(f.First, Place{file, -1, 0}) })
}

// see looks at a row as Read gave it. An error concerns all rows.
func (v *Validation) see(file string, g Group, err error, enc *Encoder) error {
	var row *RowError
	switch {
	case errors.As(err, &row):
		v.Rows++
		v.find(FoundBroken, row.Err.Error(), Place{file, row.Row, row.Line})
		return nil
	case err != nil:
		v.find(FoundBroken, strings.TrimPrefix(err.Error(), "reading "+file+": "), Place{file, -1, 0})
		return nil
	}
	v.Rows++
	x, err := enc.preview(g)
	place := Place{file, g.Row, g.Line}
	var drop *DropError
	switch {
	case errors.As(err, &drop):
		v.find(FoundDropped, drop.Reason, place)
	case errors.As(err, &row):
		v.find(FoundBroken, row.Err.Error(), place)
	case err != nil:
		return err
	case x.Truncated:
		v.find(FoundCut, enc.cutReason(x), place)
	}
	return nil
}

// preview encodes a group, or, without a tokenizer, looks at its text.
func (e *Encoder) preview(g Group) (Example, error) {
	if e.Tokenizer != nil {
		return e.Encode(g)
	}
	if g, reason := e.usable(g); reason != "" {
		return Example{}, e.drop(g, reason)
	}
	return Example{}, nil
}

func (e *Encoder) cutReason(x Example) string {
	if slices.ContainsFunc(x.Completions, func(c Completion) bool { return c.Truncated }) {
		return fmt.Sprintf("longer than max-length %d: answers lose their ends", e.MaxLength)
	}
	return fmt.Sprintf("longer than max-length %d: the prompt loses its start", e.MaxLength)
}

var digits = regexp.MustCompile(`\d+`)

// find counts a row under its reason, whatever the numbers in it are.
func (v *Validation) find(kind, reason string, at Place) {
	*map[string]*int64{FoundBroken: &v.Broken, FoundDropped: &v.Dropped, FoundCut: &v.Cut}[kind]++
	key := kind + digits.ReplaceAllString(reason, "0")
	i, known := v.reasons[key]
	if !known {
		i = len(v.Findings)
		v.reasons[key] = i
		v.Findings = append(v.Findings, Finding{Kind: kind, Reason: reason})
	}
	f := &v.Findings[i]
	f.Rows++
	if len(f.First) < 3 {
		f.First = append(f.First, at)
	}
}
