package datasets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const magic = "PAR1"

var errCut = errors.New("it is no whole Parquet file (the footer is missing or damaged: was it cut, or is it still being written?)")

// footerStruct is about what the library takes for a structure in a list of the footer, such as a column of a row group.
const footerStruct = 1 << 10

// readFooter reads what the end of a file says of it. The library would believe lengths and counts, and allocate them.
func readFooter(r io.ReaderAt, size int64) (*format.FileMetaData, error) {
	var head [4]byte
	if _, err := r.ReadAt(head[:], 0); err != nil || string(head[:]) != magic {
		if string(head[:]) == "PARE" {
			return nil, errors.New("it is encrypted: decrypt it first")
		}
		return nil, errors.New("it is no Parquet file (it does not start with PAR1)")
	}
	var tail [8]byte
	if size < 12 {
		return nil, errCut
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != magic || length > size-12 {
		return nil, errCut
	}
	data := make([]byte, length)
	if _, err := r.ReadAt(data, size-8-length); err != nil {
		return nil, err
	}
	n, structs, err := walkThrift(data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("its footer is damaged: %w", err)
	case structs > (32<<20+8*size)/footerStruct:
		return nil, fmt.Errorf("its footer lists %d structures, more than a file of %d bytes can have: it is damaged", structs, size)
	case n != len(data):
		return nil, fmt.Errorf("its footer is damaged: it ends %d bytes before its length says", len(data)-n)
	}
	meta := &format.FileMetaData{}
	if err := thrift.Unmarshal(&thrift.CompactProtocol{}, data, meta); err != nil {
		return nil, fmt.Errorf("its footer is damaged: %w", err)
	}
	return meta, nil
}

// maxSchemaDepth is how deep columns may nest.
const maxSchemaDepth = 32

// A schemaLeaf is a column of values in the footer's schema.
type schemaLeaf struct {
	path     []string
	typ      format.Type
	repeated bool // it, or a group around it
}

func (l schemaLeaf) String() string { return strings.Join(l.path, ".") }

// checkSchema checks that a schema is a tree of columns that can be read, and lists its leaves.
func checkSchema(elements []format.SchemaElement) (leaves []schemaLeaf, err error) {
	if len(elements) == 0 {
		return nil, errors.New("its schema is empty: the file is damaged")
	}
	at := 0
	var walk func(path []string, repeated bool) error
	walk = func(path []string, repeated bool) error {
		if at == len(elements) {
			return fmt.Errorf("its schema ends where a field of %s should be: the file is damaged", schemaName(path))
		}
		e := &elements[at]
		root := at == 0
		at++
		if !root {
			path = append(slices.Clone(path), e.Name)
			repeated = repeated || e.RepetitionType.V == format.Repeated
		}
		if len(path) > maxSchemaDepth {
			return fmt.Errorf("column %s: fields nest deeper than %d", path[0], maxSchemaDepth)
		}
		if err := checkElement(e, root); err != nil {
			return fmt.Errorf("column %s: %w", schemaName(path), err)
		}
		if e.Type.Valid {
			leaves = append(leaves, schemaLeaf{path, e.Type.V, repeated})
			return nil
		}
		names := map[string]bool{}
		for range e.NumChildren.V {
			name := ""
			if at < len(elements) {
				name = elements[at].Name
			}
			if names[name] {
				return fmt.Errorf("it has two columns %s: give them names that differ", schemaName(append(slices.Clone(path), name)))
			}
			names[name] = true
			if err := walk(path, repeated); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(nil, false); err != nil {
		return nil, err
	}
	if at != len(elements) {
		return nil, fmt.Errorf("its schema has %d fields, of which %d belong to no column: the file is damaged", len(elements), len(elements)-at)
	}
	return leaves, nil
}

func schemaName(path []string) string {
	if len(path) == 0 {
		return "(root)"
	}
	return strings.Join(path, ".")
}

// checkElement checks one field of a schema by itself.
func checkElement(e *format.SchemaElement, root bool) error {
	switch {
	case !root && e.Name == "":
		return errors.New("a field has no name")
	case !utf8.ValidString(e.Name):
		return errors.New("its name is not valid UTF-8")
	case e.RepetitionType.Valid && (e.RepetitionType.V < format.Required || e.RepetitionType.V > format.Repeated):
		return fmt.Errorf("its repetition is %d, which Parquet does not have", e.RepetitionType.V)
	case root && e.Type.Valid:
		return errors.New("the schema's root has a type: the file is damaged")
	case !e.Type.Valid && e.NumChildren.V <= 0:
		return fmt.Errorf("it has no type and %d fields: the file is damaged", e.NumChildren.V)
	case e.Type.Valid && e.NumChildren.V != 0:
		return fmt.Errorf("it has a type and %d fields: the file is damaged", e.NumChildren.V)
	case !e.Type.Valid:
		return checkGroup(e)
	case e.Type.V < format.Boolean || e.Type.V > format.FixedLenByteArray:
		return fmt.Errorf("its type is %d, which Parquet does not have", e.Type.V)
	case e.Type.V == format.FixedLenByteArray && (!e.TypeLength.Valid || e.TypeLength.V <= 0 || e.TypeLength.V > 1<<20):
		return fmt.Errorf("its values are of %d bytes: 1 to 1048576 are possible", e.TypeLength.V)
	}
	return checkLogical(e)
}

// checkGroup refuses types of values on a group.
func checkGroup(e *format.SchemaElement) error {
	switch e.LogicalType.Value.(type) {
	case nil, *format.ListType, *format.MapType, *format.VariantType:
		return nil
	}
	return fmt.Errorf("it is a group, and is to hold %s: the file is damaged", strings.ToLower(e.LogicalType.String()))
}

// maxPrecision is more digits than any writer gives decimals.
const maxPrecision = 1000

// checkLogical checks that what a column's values mean fits the bytes that hold them.
func checkLogical(e *format.SchemaElement) error {
	is := func(typ format.Type) error {
		if e.Type.V != typ {
			return fmt.Errorf("its values are to be %s, and are held as %s: the file is damaged", strings.ToLower(e.LogicalType.String()), e.Type.V)
		}
		return nil
	}
	fixed := func(n int32) error {
		if e.Type.V != format.FixedLenByteArray || e.TypeLength.V != n {
			return fmt.Errorf("its values are to be %s, of %d bytes, and are held as %s of %d: the file is damaged",
				strings.ToLower(e.LogicalType.String()), n, e.Type.V, e.TypeLength.V)
		}
		return nil
	}
	switch l := e.LogicalType.Value.(type) {
	case *format.StringType, *format.EnumType, *format.JsonType, *format.BsonType, *format.GeometryType, *format.GeographyType:
		return is(format.ByteArray)
	case *format.ListType, *format.MapType, *format.VariantType:
		return fmt.Errorf("it is a column of values, and is to hold %s: the file is damaged", strings.ToLower(e.LogicalType.String()))
	case *format.DecimalType:
		return checkDecimal(l.Precision, l.Scale)
	case *format.DateType:
		return is(format.Int32)
	case *format.TimeType:
		if _, millis := l.Unit.Value.(*format.MilliSeconds); millis {
			return is(format.Int32)
		}
		return is(format.Int64)
	case *format.TimestampType:
		return is(format.Int64)
	case *format.IntType:
		switch l.BitWidth {
		case 8, 16, 32:
			return is(format.Int32)
		case 64:
			return is(format.Int64)
		}
		return fmt.Errorf("its integers are of %d bits: 8, 16, 32 and 64 are possible", l.BitWidth)
	case *format.UUIDType:
		return fixed(16)
	case *format.Float16Type:
		return fixed(2)
	}
	if e.LogicalType.Value == nil && e.ConvertedType.Valid {
		return checkConverted(e)
	}
	return nil
}

func checkDecimal(precision, scale int32) error {
	if scale < 0 || precision < 1 || scale > precision || precision > maxPrecision {
		return fmt.Errorf("its decimals have %d digits, of which %d behind the point: the file is damaged", precision, scale)
	}
	return nil
}

// checkConverted is checkLogical for the types of old writers.
func checkConverted(e *format.SchemaElement) error {
	const utf8Type, decimal, interval = 0, 5, 21
	want := map[int32]format.Type{utf8Type: format.ByteArray, 4: format.ByteArray, 6: format.Int32, 7: format.Int32, 8: format.Int64, 9: format.Int64, 10: format.Int64,
		11: format.Int32, 12: format.Int32, 13: format.Int32, 14: format.Int64, 15: format.Int32, 16: format.Int32, 17: format.Int32, 18: format.Int64,
		19: format.ByteArray, 20: format.ByteArray, interval: format.FixedLenByteArray}
	number := int32(e.ConvertedType.V)
	if number == decimal {
		return checkDecimal(e.Precision.V, e.Scale.V)
	}
	typ, known := want[number]
	if !known || typ != e.Type.V || number == interval && e.TypeLength.V != 12 {
		return fmt.Errorf("its values are to be of the old type %d, and are held as %s: the file is damaged", number, e.Type.V)
	}
	return nil
}

// checkGroups checks that what a footer says of row groups fits the file, the schema and the limits.
func checkGroups(meta *format.FileMetaData, leaves []schemaLeaf, size int64) error {
	rows := int64(0)
	for i := range meta.RowGroups {
		g := &meta.RowGroups[i]
		most := currentLimits().RowGroupRows
		switch {
		case g.NumRows < 0:
			return fmt.Errorf("row group %d has %d rows: the file is damaged", i, g.NumRows)
		case g.NumRows > most:
			return fmt.Errorf("row group %d has %d rows, more than --max-row-group-rows %d: write smaller row groups, or allow more", i, g.NumRows, most)
		case len(g.Columns) != len(leaves):
			return fmt.Errorf("row group %d has %d columns of values, the schema %d: the file is damaged", i, len(g.Columns), len(leaves))
		case rows > math.MaxInt64-g.NumRows:
			return errors.New("its row groups have more rows than can be counted: the file is damaged")
		}
		rows += g.NumRows
		for k := range g.Columns {
			if err := checkChunk(&g.Columns[k], leaves[k], g.NumRows, size); err != nil {
				return fmt.Errorf("row group %d: column %s: %w", i, leaves[k], err)
			}
		}
	}
	if rows != meta.NumRows {
		return fmt.Errorf("its row groups have %d rows where its footer counts %d: the file is damaged", rows, meta.NumRows)
	}
	return checkApart(meta, leaves)
}

// chunkRange is where the pages of a column in a row group lie.
func chunkRange(m *format.ColumnMetaData) (start, length int64) {
	start = m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 && d < start {
		start = d
	}
	return start, m.TotalCompressedSize
}

func checkChunk(c *format.ColumnChunk, leaf schemaLeaf, rows, size int64) error {
	m := &c.MetaData
	start, length := chunkRange(m)
	switch {
	case c.FilePath != "":
		return fmt.Errorf("it lies in another file, %s, which is not supported", c.FilePath)
	case c.CryptoMetadata.Value != nil || len(c.EncryptedColumnMetadata) > 0:
		return errors.New("it is encrypted: decrypt it first")
	case !slices.Equal(m.PathInSchema, leaf.path):
		return fmt.Errorf("the row group has %s in its place: the file is damaged", strings.Join(m.PathInSchema, "."))
	case m.Type != leaf.typ:
		return fmt.Errorf("its values are %s, by the schema %s: the file is damaged", m.Type, leaf.typ)
	case m.Codec < format.Uncompressed || m.Codec > format.Lz4Raw || m.Codec == format.LZO || m.Codec == format.Lz4:
		return fmt.Errorf("it is compressed by codec %d (%s), which is not supported", m.Codec, m.Codec)
	case m.NumValues < 0 || length < 0:
		return fmt.Errorf("it has %d values in %d bytes: the file is damaged", m.NumValues, length)
	case rows == 0:
		return nil // its columns lie nowhere
	case start < 4 || start > size-8 || length > size-8-start:
		return fmt.Errorf("its %d bytes from %d on lie outside the file: %w", length, start, errCut)
	case m.NumValues < rows || !leaf.repeated && m.NumValues != rows:
		return fmt.Errorf("it has %d values for %d rows: the file is damaged", m.NumValues, rows)
	}
	return nil
}

// checkApart refuses columns that share bytes of the file.
func checkApart(meta *format.FileMetaData, leaves []schemaLeaf) error {
	type place struct {
		start, end    int64
		group, column int
	}
	var places []place
	for i := range meta.RowGroups {
		if meta.RowGroups[i].NumRows == 0 {
			continue
		}
		for k := range meta.RowGroups[i].Columns {
			start, length := chunkRange(&meta.RowGroups[i].Columns[k].MetaData)
			places = append(places, place{start, start + length, i, k})
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.start != b.start {
			return int(max(min(a.start-b.start, 1), -1))
		}
		return int(max(min(a.end-b.end, 1), -1))
	})
	for i := 1; i < len(places); i++ {
		if a, b := places[i-1], places[i]; b.start < a.end {
			return fmt.Errorf("row group %d: column %s begins at byte %d, within column %s of row group %d: the file is damaged",
				b.group, leaves[b.column], b.start, leaves[a.column], a.group)
		}
	}
	return nil
}
