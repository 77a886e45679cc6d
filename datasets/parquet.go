package datasets

import (
	"fmt"
	"iter"
	"os"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

func init() { register(parquetFormat{}, ".parquet") }

// parquetFormat reads Parquet, a row group at a time and only the columns wanted.
type parquetFormat struct{}

func (parquetFormat) create(path string, t *Table) (rowWriter, error) {
	w, err := CreateTable(path, t, nil, TableOptions{})
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (parquetFormat) records(path string, want func(columns []string) map[string]bool) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		f, err := openParquet(path)
		if err != nil {
			yield(record{}, err)
			return
		}
		defer f.Close()
		row := int64(0)
		for i, group := range f.RowGroups() {
			r, err := f.newRowGroup(i, group, want(f.names))
			if err != nil {
				yield(record{}, fmt.Errorf("reading %s: row group %d: %w", path, i, err))
				return
			}
			for range group.NumRows() {
				values, err := r.read()
				if err != nil {
					r.close()
					yield(record{}, fmt.Errorf("reading %s: row group %d, row %d: %w", path, i, row, err))
					return
				}
				if !yield(record{row: row, columns: f.names, values: plainValues(r.columns, values), json: orderedBy(r.columns, values)}, nil) {
					r.close()
					return
				}
				row++
			}
			r.close()
		}
	}
}

// parquetFile is an open Parquet file.
type parquetFile struct {
	*parquet.File
	names  []string // of the top-level columns
	halves map[*parquet.Column]bool
	file   *os.File
	meta   *format.FileMetaData
}

func (f *parquetFile) Close() error { return f.file.Close() }

// openParquet opens a file and checks that what its footer says fits the file.
func openParquet(path string) (*parquetFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading data: %w", err)
	}
	f := &parquetFile{file: file}
	err = guard(func() error { return f.open() })
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return f, nil
}

func (f *parquetFile) open() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if f.meta, err = readFooter(f.file, info.Size()); err != nil {
		return err
	}
	leaves, err := checkSchema(f.meta.Schema)
	if err != nil {
		return err
	}
	if err := checkGroups(f.meta, leaves, info.Size()); err != nil {
		return err
	}
	f.File, err = parquet.OpenFile(f.file, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	for _, c := range f.Root().Columns() {
		f.names = append(f.names, c.Name())
	}
	f.findHalves()
	return nil
}

// findHalves finds the columns of float16, a type that the library takes for bytes.
func (f *parquetFile) findHalves() {
	f.halves = map[*parquet.Column]bool{}
	at := 0
	var walk func(c *parquet.Column)
	walk = func(c *parquet.Column) {
		_, f.halves[c] = f.Metadata().Schema[at].LogicalType.Value.(*format.Float16Type)
		at++
		for _, child := range c.Columns() {
			walk(child)
		}
	}
	walk(f.Root())
}

// typeOf is the type of a column.
func (f *parquetFile) typeOf(c *parquet.Column) parquet.Type {
	if f.halves[c] {
		return halfType{c.Type()}
	}
	return c.Type()
}

// halfType is float16: two bytes, little endian.
type halfType struct{ parquet.Type }

func (halfType) LogicalType() *format.LogicalType {
	return &format.LogicalType{Value: &format.Float16Type{}}
}

// guard turns a panic of the Parquet library, which it has for some broken files, into an
// error. Nothing of the user's may run inside f.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = damage(p)
		}
	}()
	return f()
}

// damage is the error for a panic while a file was read.
func damage(p any) error { return fmt.Errorf("the file is damaged: %v", p) }

// rowGroup reads the rows of a row group, the wanted top-level columns only.
type rowGroup struct{ columns []*node }

func (f *parquetFile) newRowGroup(index int, group parquet.RowGroup, want map[string]bool) (*rowGroup, error) {
	r := &rowGroup{}
	err := guard(func() error {
		chunks := group.ColumnChunks()
		for _, c := range f.Root().Columns() {
			if want[c.Name()] {
				if err := f.checkPages(index, c); err != nil {
					return err
				}
				r.columns = append(r.columns, newNode(c, func(c *parquet.Column) *leaf {
					return &leaf{values: parquet.NewColumnChunkValueReader(chunks[c.Index()]), decode: decoderOf(f.typeOf(c))}
				}))
			}
		}
		return nil
	})
	return r, err
}

// read returns the next row.
func (r *rowGroup) read() (values map[string]any, err error) { return readNodes(r.columns) }

func (r *rowGroup) close() {
	_ = guard(func() error { // what was read is no worse for it
		for _, c := range r.columns {
			for _, l := range c.leaves {
				l.values.Close()
			}
		}
		return nil
	})
}
