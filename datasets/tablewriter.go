package datasets

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// Column is a column that is added to a table. All may hold nulls.
type Column struct {
	Name string
	Type ColumnType
}

// ColumnType is the type of an added column, and of the Go values given for it.
type ColumnType string

const (
	Float64Column  ColumnType = "double"       // float64
	Int64Column    ColumnType = "int64"        // int64 or int
	BoolColumn     ColumnType = "bool"         // bool
	StringColumn   ColumnType = "string"       // string
	Float64sColumn ColumnType = "list<double>" // []float64
	Int64sColumn   ColumnType = "list<int64>"  // []int64 or []int
	StringsColumn  ColumnType = "list<string>" // []string
)

// TableOptions say how a table is written.
type TableOptions struct {
	// Metadata are key-value pairs for the file, beside those of the table it is made from.
	Metadata map[string]string
	// Names gives columns of the table other names; "" leaves one out. The others keep theirs.
	Names map[string]string
	// Overwrite lets an added column take the place of one of the same name, which is left out.
	Overwrite bool
	// RowGroup is the number of rows in a row group; 0 is 10,000.
	RowGroup int
}

// foreign are the metadata that name all columns of a file, and so would be wrong with others added.
var foreign = []string{"ARROW:schema", "huggingface", "pandas"}

// A TableWriter writes the rows of a [Table], with columns added, to a Parquet file with
// zstd compression. The file appears at once and whole, with Close; equal rows give equal bytes.
type TableWriter struct {
	path     string
	file     *safefile.File
	done     bool
	writer   *parquet.GenericWriter[any]
	columns  []Column
	place    []int // of each leaf of the table, in the file; -1 if it is left out
	kept     int   // leaves of the table that are not left out
	rowGroup int
	rows     int // in this row group
	bytes    int // of text in this row group, about
}

// maxRowGroup bounds the text of a row group, so that long rows do not fill the memory.
const maxRowGroup = 128 << 20

// CreateTable begins a Parquet file with the columns of a table and those added.
func CreateTable(path string, t *Table, added []Column, o TableOptions) (*TableWriter, error) {
	w := &TableWriter{path: path, columns: added, rowGroup: o.RowGroup}
	if w.rowGroup <= 0 {
		w.rowGroup = 10_000
	}
	fields, err := w.layOut(t, o)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	if w.file, err = safefile.Create(path); err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	err = guardWrite(func() error {
		w.writer = parquet.NewGenericWriter[any](w.file, newSchema(fields), parquet.Compression(&zstd.Codec{}),
			parquet.CreatedBy("dpo-ort", "1", "0"), parquet.DataPageStatistics(false))
		return w.setMetadata(t, o.Metadata)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("writing %s: %w", path, err), w.Abort())
	}
	return w, nil
}

// layOut returns the columns of the file, and says where those of the table go.
func (w *TableWriter) layOut(t *Table, o TableOptions) ([]parquet.Field, error) {
	isAdded := map[string]bool{}
	for _, c := range w.columns {
		if isAdded[c.Name] {
			return nil, fmt.Errorf("column %s is added twice", c.Name)
		}
		isAdded[c.Name] = true
	}
	var fields []parquet.Field
	var taken []string
	for _, f := range t.fields() {
		n := leaves(f)
		name, given := o.Names[f.Name()]
		if !given {
			name = f.Name()
		}
		if name == "" || isAdded[name] {
			if name != "" {
				taken = append(taken, name)
			}
			w.place = append(w.place, slices.Repeat([]int{-1}, n)...)
			continue
		}
		fields = append(fields, renamed(f, name))
		for range n {
			w.place = append(w.place, w.kept)
			w.kept++
		}
	}
	if taken != nil && !o.Overwrite {
		return nil, fmt.Errorf("%s has the columns %s already: name others, or ask for them to be replaced (--overwrite)", t.File, strings.Join(taken, ", "))
	}
	for _, c := range w.columns {
		f, err := c.field()
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// field is the Parquet column of an added column: as in JSON, which has the same types.
func (c Column) field() (*field, error) {
	shapes := map[ColumnType]shape{
		Float64Column: {kind: kindNumber}, Int64Column: {kind: kindInteger}, BoolColumn: {kind: kindBool}, StringColumn: {kind: kindString},
		Float64sColumn: {kind: kindList, element: &shape{kind: kindNumber}}, Int64sColumn: {kind: kindList, element: &shape{kind: kindInteger}},
		StringsColumn: {kind: kindList, element: &shape{kind: kindString}},
	}
	s, ok := shapes[c.Type]
	if !ok {
		return nil, fmt.Errorf("column %s is to be of type %q, which is unknown", c.Name, c.Type)
	}
	var leaf int
	return s.field(c.Name, &leaf), nil
}

func (w *TableWriter) setMetadata(t *Table, more map[string]string) error {
	pairs := maps.Clone(t.Metadata())
	if pairs == nil {
		pairs = map[string]string{}
	}
	for _, key := range foreign {
		delete(pairs, key)
	}
	maps.Copy(pairs, more)
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		w.writer.SetKeyValueMetadata(key, pairs[key])
	}
	return nil
}

// Write adds a row of the table with the values of the added columns, in their order; nil is null.
func (w *TableWriter) Write(row Row, values ...any) error {
	if w.done {
		return fmt.Errorf("writing %s: it is closed", w.path)
	}
	if len(values) != len(w.columns) {
		return fmt.Errorf("writing %s: row %d has %d values for %d added columns", w.path, row.Group.Row, len(values), len(w.columns))
	}
	out := make(parquet.Row, 0, len(row.values)+len(values))
	for _, v := range row.values {
		w.bytes += 8
		if k := v.Kind(); k == parquet.ByteArray || k == parquet.FixedLenByteArray {
			w.bytes += len(v.ByteArray())
		}
		if place := w.place[v.Column()]; place >= 0 {
			out = append(out, v.Level(v.RepetitionLevel(), v.DefinitionLevel(), place))
		}
	}
	for i, c := range w.columns {
		var err error
		if out, err = c.appendTo(out, values[i], w.kept+i); err != nil {
			return fmt.Errorf("writing %s: row %d: %w", w.path, row.Group.Row, err)
		}
	}
	err := guardWrite(func() error {
		_, err := w.writer.WriteRows([]parquet.Row{out})
		if w.rows++; err == nil && (w.rows == w.rowGroup || w.bytes > maxRowGroup) {
			w.rows, w.bytes = 0, 0
			err = w.writer.Flush()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("writing %s: row %d: %w", w.path, row.Group.Row, err)
	}
	return nil
}

// appendTo adds a value of the column, which is the leaf of an index, to a row.
func (c Column) appendTo(row parquet.Row, value any, leaf int) (parquet.Row, error) {
	var single parquet.Value
	var list []parquet.Value
	isList := false
	switch v := value.(type) {
	case nil:
		return append(row, parquet.NullValue().Level(0, 0, leaf)), nil
	case float64:
		single = parquet.DoubleValue(v)
	case int:
		value, single = int64(v), parquet.Int64Value(int64(v))
	case int64:
		single = parquet.Int64Value(v)
	case bool:
		single = parquet.BooleanValue(v)
	case string:
		single = parquet.ByteArrayValue([]byte(v))
	case []float64:
		isList = true
		for _, x := range v {
			list = append(list, parquet.DoubleValue(x))
		}
	case []int64:
		isList = true
		for _, x := range v {
			list = append(list, parquet.Int64Value(x))
		}
	case []int:
		value, isList = []int64{}, true
		for _, x := range v {
			list = append(list, parquet.Int64Value(int64(x)))
		}
	case []string:
		isList = true
		for _, x := range v {
			list = append(list, parquet.ByteArrayValue([]byte(x)))
		}
	}
	goTypes := map[ColumnType]string{Float64Column: "float64", Int64Column: "int64", BoolColumn: "bool", StringColumn: "string",
		Float64sColumn: "[]float64", Int64sColumn: "[]int64", StringsColumn: "[]string"}
	if got := fmt.Sprintf("%T", value); got != goTypes[c.Type] {
		return nil, fmt.Errorf("column %s of type %s is given a %s", c.Name, c.Type, got)
	}
	if !isList {
		return append(row, single.Level(0, 1, leaf)), nil
	}
	if len(list) == 0 {
		return append(row, parquet.NullValue().Level(0, 1, leaf)), nil
	}
	for i, v := range list {
		row = append(row, v.Level(min(i, 1), 3, leaf))
	}
	return row, nil
}

// Close completes the file and puts it in its place.
func (w *TableWriter) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	return place(w.file, w.path, guardWrite(w.writer.Close))
}

// Abort gives the file up. After Close it does nothing, so it can be deferred.
func (w *TableWriter) Abort() error {
	w.done = true
	return w.file.Abort()
}

// place puts a file in its place; with an error of what was written, it gives the file up.
func place(f *safefile.File, path string, err error) error {
	if err == nil {
		err = f.Commit()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), f.Abort())
	}
	return nil
}

// add writes a row as it is.
func (w *TableWriter) add(_ *Table, row Row) error { return w.Write(row) }

// guardWrite turns a panic of the Parquet library into an error.
func guardWrite(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the Parquet library failed: %v", p)
		}
	}()
	return f()
}
