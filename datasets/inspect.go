package datasets

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
)

// Inspection is what [Inspect] has seen of a data set.
type Inspection struct {
	Rows, Total int64
	Files       []FileInfo
	Columns     []ColumnInfo
	Kind        Kind          // "" if the columns make no group
	Layout      string        // the name of the Layout that the first file has; "" if it has none
	Missing     string        // why they do not
	Answers     map[int]int64 // rows by their number of answers
	Tied        int64         // rows with equal ranks or scores
	Partial     int64         // rows with an answer that has no rank or score
	Voted       int64         // rows whose votes are divided
	Even        int64         // of these, rows with as many votes for each answer
	Desirable   int64         // rows of one answer whose label is true
	Undesirable int64         // rows of one answer whose label is false
	Worded      int64         // rows of one answer whose label is a string, and so none
	Broken      int64         // rows that make no group
	Dropped     int64         // rows that hold nothing to learn from
	Lengths     []*Lengths    // nil without a tokenizer
	Cuts        *Cuts         // nil without a tokenizer, or a limit
	Held        int64         // rows of the held-out data
	Warnings    []Warning     `json:"warnings"` // what makes the data hard to learn from

	survey *Survey
}

// FileInfo is a file and what it holds.
type FileInfo struct {
	File      string
	Rows      int64
	RowGroups []int64 // the rows of each; nil if the format has none
}

// Cuts say what the encoder's limits would do.
type Cuts struct {
	MaxLength, MaxPromptLength int
	Rows                       int64 // that exceed MaxLength
	Prompts                    int64 // of these rows, prompts that lose their start
	Answers                    int64 // of these rows, those with answers that lose their ends
}

// Inspect reads all rows of files with the same columns and tells what they hold: with a tokenizer, in tokens too. Those of the held-out
// files, if there are any, are looked for among them. The same Inspection comes again and again with more in it; the last is whole.
func Inspect(patterns, held []string, o Options, enc *Encoder) iter.Seq2[*Inspection, error] {
	return func(yield func(*Inspection, error) bool) {
		in := &Inspection{Answers: map[int]int64{}, Warnings: []Warning{}, survey: NewSurvey()}
		in.survey.MaxLength = enc.MaxLength
		if err := in.read(patterns, held, o, enc, yield); err != nil && !errors.Is(err, errLoopEnded) {
			yield(nil, err)
		}
	}
}

func (in *Inspection) read(patterns, held []string, o Options, enc *Encoder, yield func(*Inspection, error) bool) (err error) {
	tables, total, err := OpenTables(patterns, Options{AnyColumns: true, Columns: o.Columns})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(tables)) }()
	in.Total, in.Columns = total, tables[0].ColumnTypes()
	var files []string
	for _, t := range tables {
		in.Files = append(in.Files, FileInfo{t.File, t.NumRows(), t.rowGroups()})
		files = append(files, t.File)
	}
	if err := tables[0].names.check(tables[0].Columns()); err != nil {
		in.Missing, in.Rows = err.Error(), total
		yield(in, nil)
		return nil
	}
	in.Kind = tables[0].Kind()
	if l := tables[0].Layout(); l != nil {
		in.Layout = l.Name
	}
	in.begin(enc)
	for group, err := range Read(files, o) {
		if err = in.see(group, err, enc); err != nil {
			return err
		}
		if in.Rows++; in.Rows%progressEvery == 0 && !yield(in, nil) {
			return errLoopEnded
		}
	}
	for _, l := range in.Lengths {
		l.settle()
	}
	if err := in.hold(held, o, enc); err != nil {
		return err
	}
	in.Warnings = append(in.Warnings, in.survey.Warnings()...)
	yield(in, nil)
	return nil
}

// hold looks for held-out rows in what was read. A row that cannot be used is none.
func (in *Inspection) hold(held []string, o Options, enc *Encoder) error {
	if len(held) == 0 {
		return nil
	}
	files, err := Expand(held)
	if err != nil {
		return fmt.Errorf("eval-data: %w", err)
	}
	for g, err := range Read(files, o) {
		x := Example{}
		if err == nil {
			x, err = enc.preview(g)
		}
		var row *RowError
		var drop *DropError
		switch {
		case errors.As(err, &row), errors.As(err, &drop):
			continue
		case err != nil:
			return fmt.Errorf("eval-data: %w", err)
		case enc.Tokenizer == nil:
			in.survey.HoldText(g)
		default:
			in.survey.Hold(x)
		}
		in.Held++
	}
	return nil
}

// begin says which lengths are measured.
func (in *Inspection) begin(enc *Encoder) {
	if enc.Tokenizer == nil {
		return
	}
	of := map[Kind][]string{Pairs: {"prompt", "chosen", "rejected", "whole"}, Ranked: {"prompt", "completions", "whole"}, Singles: {"prompt", "completion", "whole"}}
	for _, name := range of[in.Kind] {
		in.Lengths = append(in.Lengths, &Lengths{Of: name})
	}
	if enc.MaxLength > 0 {
		in.Cuts = &Cuts{MaxLength: enc.MaxLength, MaxPromptLength: enc.MaxPromptLength}
	}
}

// see looks at a row as Read gave it. An error concerns all rows.
func (in *Inspection) see(g Group, err error, enc *Encoder) error {
	if err == nil {
		in.Answers[len(g.Completions)]++
		in.count(g)
		err = in.encode(g, enc)
	}
	var row *RowError
	var drop *DropError
	switch {
	case errors.As(err, &row):
		in.Broken++
		if row.Whole {
			in.survey.Drop(row.Err.Error())
		}
	case errors.As(err, &drop):
		in.Dropped++
		in.survey.Drop(drop.Reason)
	case err != nil:
		return err
	}
	return nil
}

// encode looks at a row's tokens, before and after it was cut, or without a tokenizer at its text.
func (in *Inspection) encode(g Group, enc *Encoder) error {
	if enc.Tokenizer == nil {
		_, err := enc.preview(g)
		if err == nil {
			in.survey.AddText(g)
		}
		return err
	}
	x, seqs, err := enc.whole(g)
	if err != nil {
		return err
	}
	unbounded := *enc
	unbounded.MaxLength = 0
	whole, err := unbounded.within(g, x, seqs)
	if err != nil {
		return err
	}
	in.measure(whole, enc)
	cut, err := enc.within(g, x, seqs)
	var drop *DropError
	switch {
	case errors.As(err, &drop):
		in.survey.Drop(drop.Reason) // only by the limits: Cuts has it
		return nil
	case err == nil:
		in.survey.Add(cut)
	}
	return err
}

// count counts a row by how its answers are ordered.
func (in *Inspection) count(g Group) {
	values := g.values()
	for of, is := range map[*int64]bool{
		&in.Tied:    g.Level || len(slices.Compact(slices.Clone(values))) < len(values), // they are sorted, and NaN equals none
		&in.Partial: slices.ContainsFunc(values, math.IsNaN),
		&in.Voted:   g.Dissent > 0 && g.Dissent < 1,
		&in.Even:    g.Dissent == 0.5,

		&in.Desirable:   g.Label == Desirable,
		&in.Undesirable: g.Label == Undesirable,
		&in.Worded:      g.Label == Worded,
	} {
		if is {
			*of++
		}
	}
}

// measure counts the tokens of a row that was not cut.
func (in *Inspection) measure(x Example, enc *Encoder) {
	prompt, answer, whole := 0, 0, 0
	last := len(in.Lengths) - 1
	for i, c := range x.Completions {
		tokens := c.Scored()
		prompt, answer, whole = max(prompt, len(x.Prompt)+c.Start), max(answer, tokens), max(whole, len(x.Prompt)+len(c.IDs))
		of := in.Lengths[min(1+i, last-1)]
		of.tokens = append(of.tokens, tokens)
	}
	in.Lengths[0].tokens = append(in.Lengths[0].tokens, prompt)
	in.Lengths[last].tokens = append(in.Lengths[last].tokens, whole)
	if in.Cuts == nil || whole <= enc.MaxLength {
		return
	}
	in.Cuts.Rows++
	kept := prompt
	if !enc.KeepStart && enc.MaxPromptLength > 0 && prompt > enc.MaxPromptLength {
		in.Cuts.Prompts++
		kept = enc.MaxPromptLength
	}
	if kept+answer > enc.MaxLength {
		in.Cuts.Answers++
	}
}
