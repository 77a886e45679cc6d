package datasets

import (
	"errors"
	"fmt"
	"iter"
	"os"
)

// Conversion is progress of [Convert].
type Conversion struct {
	Rows, Total int64
	Layout      string // as in Inspection
}

// OpenTables opens the files that Expand finds. They must have the same columns, so that their rows fit one file. The caller
// closes them.
func OpenTables(patterns []string, o Options) (tables []*Table, rows int64, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(tables))
			tables = nil
		}
	}()
	files, err := Expand(patterns)
	if err != nil {
		return nil, 0, err
	}
	for _, file := range files {
		t, err := OpenTable(file, o)
		if err != nil {
			return tables, 0, err
		}
		tables = append(tables, t)
		rows += t.NumRows()
		if err := tables[0].Matches(t); err != nil {
			return tables, 0, fmt.Errorf("%w\ngive them one by one", err)
		}
	}
	return tables, rows, nil
}

func closeAll(tables []*Table) error {
	var errs []error
	for _, t := range tables {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// Convert writes the rows of files, which have the same columns whatever these are, to one file of the format that its
// extension names. It appears whole at the end; a loop that ends before leaves nothing.
//
// From JSON, Parquet columns get types as [OpenTable] says. In JSON, numbers have all their digits, decimals too; dates, times and
// UUIDs are text; maps are lists of {key, value}; bytes that are no text are in base64; NaN and infinities are null.
func Convert(patterns []string, out string, overwrite bool) iter.Seq2[Conversion, error] {
	return func(yield func(Conversion, error) bool) {
		err := convert(patterns, out, overwrite, func(c Conversion) bool { return yield(c, nil) })
		if err != nil && !errors.Is(err, errLoopEnded) {
			yield(Conversion{}, err)
		}
	}
}

var errLoopEnded = errors.New("the loop ended")

// progressEvery is the number of rows between two events of progress.
const progressEvery = 1000

func convert(patterns []string, out string, overwrite bool, yield func(Conversion) bool) (err error) {
	if _, err := os.Stat(out); err == nil && !overwrite {
		return fmt.Errorf("%s is there already: give --overwrite to replace it, or another --out", out)
	}
	to, err := sourceOf(out)
	if err != nil {
		return err
	}
	tables, total, err := OpenTables(patterns, Options{AnyColumns: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(tables)) }()
	w, err := to.create(out, tables[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Abort()) }()
	c := Conversion{Total: total}
	if l := tables[0].Layout(); l != nil {
		c.Layout = l.Name
	}
	for _, t := range tables {
		for row, err := range t.Rows(0) {
			if err == nil {
				err = w.add(t, row)
			}
			if err != nil {
				return err
			}
			if c.Rows++; c.Rows%progressEvery == 0 && !yield(c) {
				return errLoopEnded
			}
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	yield(c)
	return nil
}
