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
	return &parquetTable{parquetFile: f}, nil
}

// parquetTable reads all columns of a Parquet file.
type parquetTable struct {
	*parquetFile
	exact *rowNodes // of all columns, for JSON; nil until it is needed
}

func (t *parquetTable) numRows() int64 { return t.NumRows() }
func (t *parquetTable) close() error   { return t.Close() }

func (t *parquetTable) rowGroups() []int64 {
	rows := []int64{}
	for _, g := range t.RowGroups() {
		rows = append(rows, g.NumRows())
	}
	return rows
}

func (t *parquetTable) fields() []parquet.Field {
	var fields []parquet.Field
	for _, c := range t.Root().Columns() {
		fields = append(fields, t.keepField(c))
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
		for i, group := range t.RowGroups() {
			n := group.NumRows()
			if start+n > first {
				if !t.readGroup(i, group, start, first, want, yield) {
					return
				}
			}
			start += n
		}
	}
}

// readGroup yields the rows of a row group that starts at row start, from row first on.
func (t *parquetTable) readGroup(index int, group parquet.RowGroup, start, first int64, want map[string]bool, yield func(tableRow, error) bool) bool {
	var r *wholeRows
	err := guard(func() error {
		if err := t.checkPages(index, t.Root()); err != nil {
			return err
		}
		r = t.newWholeRows(group, want)
		return nil
	})
	if err != nil {
		yield(tableRow{}, fmt.Errorf("reading %s: row group %d: %w", t.file.Name(), index, err))
		return false
	}
	defer func() { _ = guard(r.rows.Close) }() // what was read is no worse for it
	for row := start; row < start+group.NumRows(); row++ {
		raw, err := r.next(row >= first)
		if err != nil {
			yield(tableRow{}, fmt.Errorf("reading %s: row group %d, row %d: %w", t.file.Name(), index, row, err))
			return false
		}
		raw.rec.row, raw.rec.columns = row, t.names
		if row >= first && !yield(raw, nil) {
			return false
		}
	}
	return true
}

// rowNodes put the columns of one row at a time together.
type rowNodes struct {
	columns []*node
	leaves  map[int]*leaf // by the index of the column of values
}

// newRowNodes makes the nodes of columns, whose values are decoded by their types.
func (t *parquetTable) newRowNodes(keep func(name string) bool, decoder func(parquet.Type) func(parquet.Value) (any, error)) rowNodes {
	r := rowNodes{leaves: map[int]*leaf{}}
	for _, c := range t.Root().Columns() {
		if keep(c.Name()) {
			r.columns = append(r.columns, newNode(c, func(c *parquet.Column) *leaf {
				l := &leaf{err: io.EOF, decode: decoder(t.typeOf(c))}
				r.leaves[c.Index()] = l
				return l
			}))
		}
	}
	return r
}

// read puts the columns together.
func (r rowNodes) read(row parquet.Row) (map[string]any, error) {
	row.Range(func(column int, values []parquet.Value) bool {
		if l := r.leaves[column]; l != nil {
			l.buf, l.next = values, 0
		}
		return true
	})
	return readNodes(r.columns)
}

// wholeRows reads the rows of a row group.
type wholeRows struct {
	rowNodes
	rows  parquet.Rows
	buf   []parquet.Row
	at, n int
}

func (t *parquetTable) newWholeRows(group parquet.RowGroup, want map[string]bool) *wholeRows {
	wanted := t.newRowNodes(func(name string) bool { return want[name] }, decoderOf)
	return &wholeRows{rowNodes: wanted, rows: group.Rows(), buf: make([]parquet.Row, 64)}
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
		values, err := r.read(row.values)
		row.rec.values, row.rec.json = plainValues(r.columns, values), orderedBy(r.columns, values)
		return err
	})
	return row, err
}

func (t *parquetTable) appendJSON(b []byte, row Row) ([]byte, error) {
	if t.exact == nil {
		all := t.newRowNodes(func(string) bool { return true }, exactOf)
		t.exact = &all
	}
	values, err := t.exact.read(row.values)
	if err != nil {
		return nil, err
	}
	b = append(b, '{')
	for i, c := range t.exact.columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, c.name), ':')
		b = c.appendJSON(b, values[c.name], false)
	}
	return append(b, '}'), nil
}
