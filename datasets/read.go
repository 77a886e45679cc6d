package datasets

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Options say how files are read.
type Options struct {
	// Columns gives the file's own names for columns, by ours: {"prompt": "question"}.
	Columns map[string]string
	// AnyColumns lets a [Table] lack the columns that make a group; Read ignores it.
	AnyColumns bool
	// PromptOnly makes groups of a [Table]'s column prompt alone, without answers; Read ignores it.
	PromptOnly bool
	// Unranked has a [Table] take lists of answers as they stand, whatever their ranks and scores; Read ignores it.
	Unranked bool
	// Keep names further columns of a [Table], by the file's names, whose values Row.Value gives; Read ignores it.
	Keep []string
}

// Check reports a column that is none of ours.
func (o Options) Check() error {
	_, err := newColumns(o)
	return err
}

// Read streams the groups of files, in order. A *[RowError] stands for one bad row, and
// reading goes on after it if the loop does; any other error names the file and is the last.
//
// A file whose first row lacks the columns needed is refused as a whole, with the columns it
// has and those that are needed.
func Read(files []string, o Options) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		for _, file := range files {
			if !readFile(file, o, yield) {
				return
			}
		}
	}
}

// readFile yields the groups of a file, and reports whether the next file is to be read.
func readFile(file string, o Options, yield func(Group, error) bool) bool {
	src, err := sourceOf(file)
	if err != nil {
		yield(Group{}, err)
		return false
	}
	names, err := newColumns(o)
	if err != nil {
		yield(Group{}, err)
		return false
	}
	first := true
	for rec, err := range src.records(file, names.wanting()) {
		var group Group
		if err == nil {
			group, err = names.group(rec)
			group.File, group.Row, group.Line = file, rec.row, rec.line
			err = rowError(err, first, file, rec)
			first = false
		}
		if !yield(group, err) {
			return false
		}
		var bad *RowError
		if err != nil && !errors.As(err, &bad) {
			return false
		}
	}
	return true
}

// rowError names the file and row of an error: of the file as a whole where its first row
// shows that it has not the columns needed.
func rowError(err error, first bool, file string, rec record) error {
	var missing *columnsError
	switch {
	case err == nil:
		return nil
	case first && errors.As(err, &missing):
		return fmt.Errorf("reading %s: %w", file, err)
	}
	return refusedRow(err, file, rec)
}

// refusedRow is the error of a row that could be read and makes no group.
func refusedRow(err error, file string, rec record) *RowError {
	var missing *columnsError
	if errors.As(err, &missing) {
		err = errors.New(missing.short())
	}
	if text := err.Error(); strings.Contains(text, "\n") { // of several columns
		err = errors.New(strings.ReplaceAll(text, "\n", "; "))
	}
	return &RowError{File: file, Row: rec.row, Line: rec.line, Err: err, Whole: true}
}
