package datasets

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// A Table is a file whose rows are read whole, so that they can be written to another with
// columns added: see [CreateTable].
type Table struct {
	File    string
	names   columns
	options Options
	tableFile
}

// tableFile is what each format gives of a table.
type tableFile interface {
	// fields are the columns, as Parquet has them.
	fields() []parquet.Field
	numRows() int64
	// rowGroups are the rows of each row group; nil if the format has none.
	rowGroups() []int64
	// metadata are the key-value pairs of the file; nil if it has none.
	metadata() map[string]string
	// read streams the rows from first on; an error is the last.
	read(first int64, want map[string]bool) iter.Seq2[tableRow, error]
	// appendJSON writes a row as a JSON object, all values exact.
	appendJSON(b []byte, row Row) ([]byte, error)
	close() error
}

// tableRow is a row with the values of all columns.
type tableRow struct {
	rec    record
	values parquet.Row // by the leaves of fields
	json   object      // as it is in the file; of JSON only
}

// Row is one row of a table.
type Row struct {
	// Group is what the row's columns mean; of a row with Err only File and Row are there.
	Group Group
	Err   error // a *[RowError] if the row makes no group; it is kept and written like any other

	record map[string]any
	values parquet.Row
	json   object // of a row of JSON
}

// Value is what the row holds in a column that means something to us, or that Options.Keep names: nil, bool, float64, string,
// []any or map[string]any. It is nil where there is no such column.
func (r Row) Value(column string) any { return r.record[column] }

// OpenTable opens a file. It is refused if it has not the columns that make a group, unless o says that it may have any.
//
// The columns of a Parquet file keep their types, order and nesting. Those of JSON get the
// narrowest type that holds all their values, which takes one pass over the file: bool, int64, float64,
// string, or lists and structs of them. A column, or a part of it, whose values are of several
// kinds becomes one of Parquet's type JSON, which is read as what it says.
func OpenTable(file string, o Options) (*Table, error) {
	src, err := sourceOf(file)
	if err != nil {
		return nil, err
	}
	names, err := newColumns(o)
	if err != nil {
		return nil, err
	}
	f, err := src.table(file)
	if err != nil {
		return nil, err
	}
	t := &Table{File: file, names: names, options: o, tableFile: f}
	if err := t.check(); err != nil {
		f.close()
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return t, nil
}

// check tells what is missing among the columns: of those to be kept, and for a group.
func (t *Table) check() error {
	names := t.Columns()
	for _, name := range t.options.Keep {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no column %s: the columns are %s", name, strings.Join(names, ", "))
		}
	}
	switch {
	case t.options.AnyColumns:
		return nil
	case t.options.Unranked:
		return t.names.checkList(names)
	case t.options.PromptOnly:
		return t.names.checkPrompt(names)
	}
	return t.names.check(names)
}

// check tells what is missing for a group among the columns of a file.
func (c columns) check(names []string) error {
	fit := c.fitting(names)
	told := slices.ContainsFunc(fit, func(l *Layout) bool { return l.fits != nil })
	switch {
	case len(fit) == 0:
		return c.missing(names)
	case len(fit) > 1 && !told:
		return twoLayouts(names, fit)
	}
	return nil // which of several it is, its rows tell
}

// group makes a group of a record.
func (t *Table) group(rec record) (Group, error) {
	switch {
	case t.options.Unranked:
		return t.names.unranked(rec)
	case t.options.PromptOnly:
		return t.names.promptAlone(rec)
	}
	return t.names.group(rec)
}

// Column returns the file's name of a column by ours, whether there is one or not.
func (t *Table) Column(ours string) string { return t.names[ours] }

// Columns returns the names of all columns, in the file's order.
func (t *Table) Columns() []string {
	var names []string
	for _, f := range t.fields() {
		names = append(names, f.Name())
	}
	return names
}

// NumRows returns how many rows the file has.
func (t *Table) NumRows() int64 { return t.numRows() }

// Metadata returns the file's key-value pairs; JSON has none.
func (t *Table) Metadata() map[string]string { return t.metadata() }

// Rows streams the rows from the one with number first on. An error ends them; a row that makes no group is one with Err.
func (t *Table) Rows(first int64) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		want := t.names.wanted(t.Columns())
		for _, name := range t.options.Keep {
			want[name] = true
		}
		for raw, err := range t.read(first, want) {
			row := Row{record: raw.rec.values, values: raw.values, json: raw.json}
			if err == nil {
				var bad error
				if row.Group, bad = t.group(raw.rec); bad != nil {
					row.Group = Group{}
					row.Err = refusedRow(bad, t.File, raw.rec)
				}
				row.Group.File, row.Group.Row, row.Group.Line = t.File, raw.rec.row, raw.rec.line
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// JSON gives a row that t has read as a JSON object with the values of all its columns, as Convert writes it.
func (t *Table) JSON(row Row) ([]byte, error) { return t.appendJSON(nil, row) }

// Close closes the file.
func (t *Table) Close() error { return t.close() }
