package datasets

import (
	"fmt"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// ColumnInfo is a column and its type, as Arrow would write it: string, list<struct<role: string, content: string>>.
type ColumnInfo struct{ Name, Type string }

// ColumnTypes returns all columns, in the file's order.
func (t *Table) ColumnTypes() []ColumnInfo {
	var out []ColumnInfo
	for _, f := range t.fields() {
		out = append(out, ColumnInfo{f.Name(), typeName(f)})
	}
	return out
}

func typeName(f parquet.Field) string {
	if f.Repeated() {
		return "list<" + elementName(f) + ">"
	}
	return elementName(f)
}

// elementName names the type of one value of a field.
func elementName(f parquet.Field) string {
	if f.Leaf() {
		return leafName(f.Type())
	}
	fields := f.Fields()
	if (isList(f) || isMap(f)) && len(fields) == 1 && fields[0].Repeated() {
		inner := fields[0].Fields()
		switch {
		case isMap(f) && len(inner) == 2:
			return fmt.Sprintf("map<%s, %s>", typeName(inner[0]), typeName(inner[1]))
		case len(inner) == 1 && fields[0].Name() != "array" && fields[0].Name() != f.Name()+"_tuple":
			return "list<" + typeName(inner[0]) + ">"
		}
		return typeName(fields[0])
	}
	var parts []string
	for _, child := range fields {
		parts = append(parts, child.Name()+": "+typeName(child))
	}
	return "struct<" + strings.Join(parts, ", ") + ">"
}

func leafName(t parquet.Type) string {
	switch l := logical(t).(type) {
	case *format.DecimalType:
		return fmt.Sprintf("decimal(%d,%d)", l.Precision, l.Scale)
	case *format.TimestampType:
		if l.IsAdjustedToUTC {
			return "timestamp[" + unitName(l.Unit) + ", UTC]"
		}
		return "timestamp[" + unitName(l.Unit) + "]"
	case *format.TimeType:
		return "time[" + unitName(l.Unit) + "]"
	case *format.IntType:
		if l.IsSigned {
			return fmt.Sprintf("int%d", l.BitWidth)
		}
		return fmt.Sprintf("uint%d", l.BitWidth)
	case nil:
		return kindName(t)
	default:
		return strings.ToLower(l.String())
	}
}

func unitName(u format.TimeUnit) string {
	switch u.Value.(type) {
	case *format.MilliSeconds:
		return "ms"
	case *format.MicroSeconds:
		return "us"
	}
	return "ns"
}

func kindName(t parquet.Type) string {
	switch t.Kind() {
	case parquet.Boolean:
		return "bool"
	case parquet.Double:
		return "double"
	case parquet.ByteArray:
		return "binary"
	case parquet.FixedLenByteArray:
		return fmt.Sprintf("binary[%d]", t.Length())
	}
	return strings.ToLower(t.Kind().String())
}
