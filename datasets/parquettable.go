package datasets

import (
	"fmt"
	"io"
	"iter"

	"github.com/parquet-go/parquet-go"
)

func (parquetFormat) table(path string) (tableFile, error) {
	f, err := openParquet(path)
	if err != nil {
		return nil, err
	}
	return &parquetTable{f}, nil
}

// parquetTable reads all columns of a Parquet file.
type parquetTable struct{ *parquetFile }

func (t *parquetTable) numRows() int64 { return t.NumRows() }
func (t *parquetTable) close() error   { return t.Close() }

func (t *parquetTable) fields() []parquet.Field {
	var fields []parquet.Field
	for _, c := range t.Root().Columns() {
		fields = append(fields, keepField(c))
	}
	return fields
}

func (t *parquetTable) metadata() map[string]string {
	pairs := map[string]string{}
	for _, kv := range t.parquetFile.Metadata().KeyValueMetadata {
		pairs[kv.Key] = kv.Value
	}
	return pairs
}

func (t *parquetTable) read(first int64, want map[string]bool) iter.Seq2[tableRow, error] {
	return func(yield func(tableRow, error) bool) {
		start := int64(0)
		for _, group := range t.RowGroups() {
			n := group.NumRows()
			if start+n > first {
				if !t.readGroup(group, start, first, want, yield) {
					return
				}
			}
			start += n
		}
	}
}

// readGroup yields the rows of a row group that starts at row start, from row first on.
func (t *parquetTable) readGroup(group parquet.RowGroup, start, first int64, want map[string]bool, yield func(tableRow, error) bool) bool {
	var r *wholeRows
	err := guard(func() error {
		r = t.newWholeRows(group, want)
		return nil
	})
	if err != nil {
		yield(tableRow{}, fmt.Errorf("reading %s: row %d: %w", t.file.Name(), start, err))
		return false
	}
	defer r.rows.Close()
	for row := start; row < start+group.NumRows(); row++ {
		raw, err := r.next(row >= first)
		if err != nil {
			yield(tableRow{}, fmt.Errorf("reading %s: row %d: %w", t.file.Name(), row, err))
			return false
		}
		raw.rec.row, raw.rec.columns = row, t.names
		if row >= first && !yield(raw, nil) {
			return false
		}
	}
	return true
}

// wholeRows reads the rows of a row group.
type wholeRows struct {
	rows   parquet.Rows
	wanted []*node
	leaves map[int]*leaf // of wanted, by the index of the column of values
	buf    []parquet.Row
	at, n  int
}

func (t *parquetTable) newWholeRows(group parquet.RowGroup, want map[string]bool) *wholeRows {
	r := &wholeRows{rows: group.Rows(), leaves: map[int]*leaf{}, buf: make([]parquet.Row, 64)}
	for _, c := range t.Root().Columns() {
		if want[c.Name()] {
			n := newNode(c, func(index int) *leaf {
				l := &leaf{err: io.EOF}
				r.leaves[index] = l
				return l
			})
			r.wanted = append(r.wanted, n)
		}
	}
	return r
}

// next returns a row, its values decoded if asked for.
func (r *wholeRows) next(decode bool) (row tableRow, err error) {
	err = guard(func() error {
		if r.at == r.n {
			n, err := r.rows.ReadRows(r.buf)
			if n == 0 {
				if err == nil || err == io.EOF {
					err = errFewValues
				}
				return err
			}
			r.at, r.n = 0, n
		}
		raw := r.buf[r.at]
		r.at++
		if !decode {
			return nil
		}
		row.values = raw.Clone() // the library takes the memory back
		row.rec.values, err = r.decode(row.values)
		return err
	})
	return row, err
}

// decode puts the wanted columns together.
func (r *wholeRows) decode(row parquet.Row) (map[string]any, error) {
	row.Range(func(column int, values []parquet.Value) bool {
		if l := r.leaves[column]; l != nil {
			l.buf, l.next = values, 0
		}
		return true
	})
	return readNodes(r.wanted)
}
