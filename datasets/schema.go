package datasets

import (
	"reflect"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"
)

// Parquet schemas as the library builds them have their fields sorted by name. Those here
// keep the order they are given.

// field is a node with its name, and without the encoding and compression of the file it is from.
type field struct {
	parquet.Node
	name     string
	typ      parquet.Type
	children []parquet.Field
}

// newField names a node of which fields are the children; none make it a leaf.
func newField(name string, n parquet.Node, children ...parquet.Field) *field {
	return &field{n, name, n.Type(), children}
}

// keepField takes over a column of a file.
func (f *parquetFile) keepField(c *parquet.Column) *field {
	kept := newField(c.Name(), c)
	kept.typ = f.typeOf(c)
	for _, child := range c.Columns() {
		kept.children = append(kept.children, f.keepField(child))
	}
	return kept
}

// renamed is a column under another name.
func renamed(f parquet.Field, name string) parquet.Field {
	if f.Name() == name {
		return f
	}
	of := *f.(*field)
	of.name = name
	return &of
}

func (f *field) Name() string                      { return f.name }
func (f *field) Type() parquet.Type                { return f.typ }
func (f *field) Fields() []parquet.Field           { return f.children }
func (f *field) Encoding() encoding.Encoding       { return nil }
func (f *field) Compression() compress.Codec       { return nil }
func (f *field) Value(reflect.Value) reflect.Value { panic("rows are written as Parquet values") }

// leaves counts the columns of values at or below a field.
func leaves(f parquet.Field) int {
	if f.Leaf() {
		return 1
	}
	n := 0
	for _, child := range f.Fields() {
		n += leaves(child)
	}
	return n
}

// newSchema makes a schema of columns.
func newSchema(fields []parquet.Field) *parquet.Schema {
	return parquet.NewSchema("schema", newField("schema", parquet.Group{}, fields...))
}

// listField is an optional list of three levels, as the format has it: name, list, element.
func listField(name string, element *field) *field {
	group := parquet.Group{}
	element.name = "element"
	return newField(name, parquet.Optional(parquet.List(parquet.String())), newField("list", parquet.Repeated(group), element))
}
