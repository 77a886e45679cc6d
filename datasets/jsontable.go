package datasets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/parquet-go/parquet-go"
)

// jsonTable reads all fields of a file of JSON objects.
type jsonTable struct {
	path    string
	objects func(path string) iter.Seq2[object, error]
	shape   shape // of a row
	columns []parquet.Field
	leaves  int
	rows    int64
}

// newJSONTable reads the file once, for the types of its columns.
func newJSONTable(path string, objects func(string) iter.Seq2[object, error]) (tableFile, error) {
	t := &jsonTable{path: path, objects: objects, shape: shape{kind: kindObject}}
	for o, err := range objects(path) {
		if err != nil {
			return nil, err
		}
		t.shape.seeFields(o, 0)
		t.rows++
	}
	for _, name := range t.shape.names {
		if name == "" {
			return nil, fmt.Errorf("reading %s: a column has no name", path)
		}
		t.columns = append(t.columns, t.shape.fields[name].field(name, &t.leaves))
	}
	if t.rows == 0 {
		return nil, fmt.Errorf("reading %s: the file has no rows", path)
	}
	return t, nil
}

func (t *jsonTable) fields() []parquet.Field     { return t.columns }
func (t *jsonTable) numRows() int64              { return t.rows }
func (t *jsonTable) rowGroups() []int64          { return nil }
func (t *jsonTable) metadata() map[string]string { return nil }
func (t *jsonTable) close() error                { return nil }

func (t *jsonTable) read(first int64, want map[string]bool) iter.Seq2[tableRow, error] {
	return func(yield func(tableRow, error) bool) {
		for o, err := range t.objects(t.path) {
			var row tableRow
			if err == nil {
				if o.row < first {
					continue
				}
				if row.rec, err = o.record(t.path, want); err == nil {
					row.values, row.json = t.shape.row(o, t.leaves), o
				}
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// appendJSON leaves values as they are in the file, which says more than their columns' types.
func (t *jsonTable) appendJSON(b []byte, row Row) ([]byte, error) {
	b = append(b, '{')
	for i, name := range row.json.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, name), ':')
		var compact bytes.Buffer
		if err := json.Compact(&compact, row.json.raw[name]); err != nil {
			return nil, fmt.Errorf("column %s: %w", name, err)
		}
		b = append(b, compact.Bytes()...)
	}
	return append(b, '}'), nil
}
