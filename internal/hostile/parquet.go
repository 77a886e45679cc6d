package hostile

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

func init() { register("parquet", parquetCases) }

// must is for what cannot fail, since it was made here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("hostile: %v", err))
	}
	return v
}

type parquetPair struct {
	Prompt   string `parquet:"prompt,plain"`
	Chosen   string `parquet:"chosen,plain"`
	Rejected string `parquet:"rejected,plain"`
}

// parquetRanked is a row with lists and nulls.
type parquetRanked struct {
	Prompt      string     `parquet:"prompt"`
	Completions []string   `parquet:"completions,list"`
	Scores      []*float64 `parquet:"scores,list"`
	Source      *string    `parquet:"source,optional"`
}

type parquetDict struct {
	Prompt   string `parquet:"prompt,dict"`
	Chosen   string `parquet:"chosen,dict"`
	Rejected string `parquet:"rejected,dict"`
}

// parquetOf writes rows in row groups of two.
func parquetOf[T any](rows []T, options ...parquet.WriterOption) []byte {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, append([]parquet.WriterOption{parquet.CreatedBy("hostile", "1", "0"), parquet.DataPageStatistics(false)}, options...)...)
	for i := 0; i < len(rows); i += 2 {
		must(w.Write(rows[i:min(i+2, len(rows))]))
		must(0, w.Flush())
	}
	must(0, w.Close())
	return b.Bytes()
}

var protocol thrift.CompactProtocol

// parquetImage is a file taken apart.
type parquetImage struct {
	meta  format.FileMetaData
	pages [][][]parquetPage // by row group and column
}

type parquetPage struct {
	head format.PageHeader
	body []byte
}

func footerOf(file []byte) (body []byte, meta format.FileMetaData) {
	n := len(file) - 8 - int(binary.LittleEndian.Uint32(file[len(file)-8:]))
	must(0, thrift.Unmarshal(&protocol, bytes.Clone(file[n:len(file)-8]), &meta))
	return bytes.Clone(file[:n]), meta
}

// withFooter puts the bytes of a footer behind those before it.
func withFooter(body, footer []byte) []byte {
	file := append(bytes.Clone(body), footer...)
	return append(binary.LittleEndian.AppendUint32(file, uint32(len(footer))), "PAR1"...)
}

func imageOf(file []byte) *parquetImage {
	body, meta := footerOf(file)
	im := &parquetImage{meta: meta}
	for g := range meta.RowGroups {
		var columns [][]parquetPage
		for c := range meta.RowGroups[g].Columns {
			m := &meta.RowGroups[g].Columns[c].MetaData
			at := m.DataPageOffset
			if d := m.DictionaryPageOffset; d > 0 {
				at = min(at, d)
			}
			end := at + m.TotalCompressedSize
			var pages []parquetPage
			for at < end {
				r := protocol.NewReaderFromBytes(body[at:end])
				var p parquetPage
				must(0, thrift.NewDecoder(r).Decode(&p.head))
				at += int64(r.BytesRead())
				p.body = bytes.Clone(body[at : at+int64(p.head.CompressedPageSize)])
				at += int64(p.head.CompressedPageSize)
				pages = append(pages, p)
			}
			columns = append(columns, pages)
		}
		im.pages = append(im.pages, columns)
	}
	return im
}

// bytes puts the file together, with offsets that fit the pages.
func (im *parquetImage) bytes() []byte {
	file := []byte("PAR1")
	for g := range im.pages {
		for c, pages := range im.pages[g] {
			m := &im.meta.RowGroups[g].Columns[c].MetaData
			start := int64(len(file))
			m.DictionaryPageOffset, m.DataPageOffset = 0, 0
			for i, p := range pages {
				switch {
				case p.head.Type == format.DictionaryPage && i == 0:
					m.DictionaryPageOffset = int64(len(file))
				case m.DataPageOffset == 0:
					m.DataPageOffset = int64(len(file))
				}
				file = append(append(file, must(thrift.Marshal(&protocol, &p.head))...), p.body...)
			}
			m.TotalCompressedSize = int64(len(file)) - start
		}
	}
	return withFooter(file, must(thrift.Marshal(&protocol, &im.meta)))
}

// parquetList adds cases that change a file.
type parquetList struct {
	list
	whole []byte
}

// footer changes what the footer says, and nothing else.
func (l *parquetList) footer(name string, change func(*format.FileMetaData)) {
	body, meta := footerOf(l.whole)
	change(&meta)
	l.add(name, withFooter(body, must(thrift.Marshal(&protocol, &meta))))
}

// chunk changes what the footer says of the column chosen in row group 1.
func (l *parquetList) chunk(name string, change func(*format.ColumnChunk)) {
	l.footer(name, func(m *format.FileMetaData) { change(&m.RowGroups[1].Columns[1]) })
}

// column changes the schema of the column chosen.
func (l *parquetList) column(name string, change func(*format.SchemaElement)) {
	l.footer(name, func(m *format.FileMetaData) { change(&m.Schema[2]) })
}

// page changes the last page of the column of an index in row group 1.
func (l *parquetList) page(name string, column int, change func(*parquetPage)) {
	im := imageOf(l.whole)
	pages := im.pages[1][column]
	change(&pages[len(pages)-1])
	l.add(name, im.bytes())
}

// image changes the whole.
func (l *parquetList) image(name string, change func(*parquetImage)) {
	im := imageOf(l.whole)
	change(im)
	l.add(name, im.bytes())
}

var parquetPairs = []parquetPair{{"question one", "a good answer", "a bad one"}, {"question two", "yes", "no"}, {"three", "four", "five"}, {"six", "seven", "eight"}}

func parquetCases() []Case {
	var plain []parquet.WriterOption
	plain = append(plain, parquet.Compression(&parquet.Uncompressed), parquet.DataPageVersion(1))
	l := parquetList{list: list{file: "rows.parquet"}, whole: parquetOf(parquetPairs, plain...)}
	l.parquetOutline()
	l.parquetSchema()
	l.parquetGroups()
	l.parquetPages()
	for _, codec := range []compress.Codec{&parquet.Snappy, &parquet.Gzip, &parquet.Brotli, &parquet.Zstd, &parquet.Lz4Raw} {
		l.whole = parquetOf(parquetPairs, parquet.Compression(codec), parquet.DataPageVersion(1))
		l.compressed(fmt.Sprint(codec))
	}
	var dicts []parquetDict
	for _, p := range parquetPairs {
		dicts = append(dicts, parquetDict(p))
	}
	l.whole = parquetOf(dicts, plain...)
	l.dictionaries()
	one, two := 1.0, "web"
	l.whole = parquetOf([]parquetRanked{{"p", []string{"a", "b"}, []*float64{&one, nil}, &two}, {"q", []string{"x"}, []*float64{&one}, nil},
		{"r", []string{"c"}, []*float64{&one}, nil}, {"s", []string{"d", "e", "f"}, []*float64{&one, nil, &one}, &two}}, parquet.Compression(&parquet.Uncompressed), parquet.DataPageVersion(2))
	l.lists()
	l.rows()
	return l.cases
}

// parquetOutline are faults of the file as a whole.
func (l *parquetList) parquetOutline() {
	whole := l.whole
	body, meta := footerOf(whole)
	footer := must(thrift.Marshal(&protocol, &meta))
	l.cuts(whole, 0, 1, 3, 4, 8, 11, 12, 40, len(whole)/2, -9, -8, -5, -1)
	l.text("text", "prompt,chosen,rejected\np,a,b\n")
	l.text("a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n")
	l.text("encrypted", "PARE0000PARE")
	l.text("only its two marks", "PAR1PAR1")
	l.text("an empty footer", "PAR1\x00\x00\x00\x00PAR1")
	length := func(name string, n uint32) {
		file := bytes.Clone(whole)
		binary.LittleEndian.PutUint32(file[len(file)-8:], n)
		l.add(name, file)
	}
	length("footer's length of 2 to the 31", 1<<31)
	length("footer's length of 2 to the 32", 1<<32-1)
	length("footer's length one too long", uint32(len(footer)+1))
	length("footer's length one too short", uint32(len(footer)-1))
	length("footer's length of zero", 0)
	l.add("footer is garbage", withFooter(body, bytes.Repeat([]byte{0xa5}, 200)))
	l.add("footer is zeros", withFooter(body, make([]byte, 200)))
	l.add("footer nests lists deep", withFooter(body, append([]byte{0x19}, bytes.Repeat([]byte{0x19}, 1<<16)...)))
	l.add("footer nests lists three million deep", withFooter(body, bytes.Repeat([]byte{0x19}, 3_000_000)))
	l.add("footer nests structures deep", withFooter(body, bytes.Repeat([]byte{0x1c}, 100_000)))
	l.add("footer nests mappings deep", withFooter(body, append([]byte{0xfb, 0xff}, bytes.Repeat([]byte{1, 0xbb}, 1000)...)))
	huge := []byte{0x15, 0x04, 0x19, 0xfc} // version, and the list of the schema
	l.add("schema of two thousand million fields", withFooter(body, append(bytes.Clone(huge), 0xff, 0xff, 0xff, 0xff, 0x07)))
	l.add("schema of 2 to the 28 fields", withFooter(body, append(bytes.Clone(huge), 0x80, 0x80, 0x80, 0x80, 0x01)))
	l.add("schema of a million fields of nothing", withFooter(body, append(append(bytes.Clone(huge), 0xc0, 0x84, 0x3d), make([]byte, 1_000_001)...)))
	l.add("a number of more than 64 bits in the footer", withFooter(body, append([]byte{0x16}, bytes.Repeat([]byte{0xff}, 12)...)))
	l.add("a text of 2 to the 31 bytes in the footer", withFooter(body, []byte{0x68, 0xff, 0xff, 0xff, 0xff, 0x07, 'a'}))
	l.add("something behind the footer", withFooter(body, append(bytes.Clone(footer), 1, 2, 3)))
	l.add("a signature behind the footer", withFooter(body, append(bytes.Clone(footer), make([]byte, 28)...)))
	l.add("a footer without rows", withFooter(body, append([]byte{0x15, 0x04}, 0)))
}

// parquetSchema are faults of the schema.
func (l *parquetList) parquetSchema() {
	type element = format.SchemaElement
	set := func(v int32) thrift.Null[int32] { return thrift.Null[int32]{V: v, Valid: true} }
	l.footer("schema is empty", func(m *format.FileMetaData) { m.Schema = nil })
	l.footer("schema is the root alone", func(m *format.FileMetaData) { m.Schema = m.Schema[:1] })
	l.footer("root has more fields than there are", func(m *format.FileMetaData) { m.Schema[0].NumChildren = set(4) })
	l.footer("root has fewer fields than there are", func(m *format.FileMetaData) { m.Schema[0].NumChildren = set(2) })
	l.footer("root has 2 to the 31 fields", func(m *format.FileMetaData) { m.Schema[0].NumChildren = set(1<<31 - 1) })
	l.footer("root has minus one field", func(m *format.FileMetaData) { m.Schema[0].NumChildren = set(-1) })
	l.footer("root has a type", func(m *format.FileMetaData) {
		m.Schema[0].Type, m.Schema[0].NumChildren = thrift.New(format.Int32), thrift.Null[int32]{}
	})
	l.footer("schema nests ten thousand deep", func(m *format.FileMetaData) {
		leaf := m.Schema[1]
		m.Schema = m.Schema[:1]
		m.Schema[0].NumChildren = set(1)
		for i := range 10_000 {
			m.Schema = append(m.Schema, element{Name: fmt.Sprint("g", i), NumChildren: set(1)})
		}
		m.Schema = append(m.Schema, leaf)
	})
	l.footer("two columns of one name", func(m *format.FileMetaData) { m.Schema[3].Name = "chosen" })
	l.column("column without a name", func(e *element) { e.Name = "" })
	l.column("column's name is no UTF-8", func(e *element) { e.Name = "chosen\xff" })
	l.column("type is unknown", func(e *element) { e.Type.V = 9 })
	l.column("type is negative", func(e *element) { e.Type.V = -1 })
	l.column("repetition is unknown", func(e *element) { e.RepetitionType.V = 3 })
	l.column("repetition is negative", func(e *element) { e.RepetitionType = thrift.New(format.FieldRepetitionType(-2)) })
	l.column("neither type nor fields", func(e *element) { e.Type = thrift.Null[format.Type]{} })
	l.column("both type and fields", func(e *element) { e.NumChildren = set(1) })
	l.column("fixed length is missing", func(e *element) {
		e.Type.V, e.LogicalType, e.ConvertedType.Valid = format.FixedLenByteArray, format.LogicalType{}, false
	})
	l.column("fixed length is zero", func(e *element) { e.Type.V, e.TypeLength = format.FixedLenByteArray, set(0) })
	l.column("fixed length is negative", func(e *element) { e.Type.V, e.TypeLength = format.FixedLenByteArray, set(-16) })
	l.column("fixed length of 2 to the 31", func(e *element) { e.Type.V, e.TypeLength = format.FixedLenByteArray, set(1<<31-1) })
	logical := func(name string, typ format.Type, length int32, v format.LogicalTypeValue) {
		l.column(name, func(e *element) {
			e.Type.V, e.LogicalType, e.ConvertedType.Valid = typ, format.LogicalType{Value: v}, false
			if length > 0 {
				e.TypeLength = set(length)
			}
		})
	}
	logical("text in int32", format.Int32, 0, &format.StringType{})
	logical("json in doubles", format.Double, 0, &format.JsonType{})
	logical("list as a column of values", format.ByteArray, 0, &format.ListType{})
	logical("map as a column of values", format.ByteArray, 0, &format.MapType{})
	logical("decimal without digits", format.Int32, 0, &format.DecimalType{})
	logical("decimal with more digits behind the point than digits", format.Int64, 0, &format.DecimalType{Precision: 4, Scale: 9})
	logical("decimal with minus two digits behind the point", format.Int64, 0, &format.DecimalType{Precision: 4, Scale: -2})
	logical("decimal of 2 to the 31 digits", format.ByteArray, 0, &format.DecimalType{Precision: 1<<31 - 1, Scale: 1<<31 - 1})
	logical("uuid of four bytes", format.FixedLenByteArray, 4, &format.UUIDType{})
	logical("uuid in text", format.ByteArray, 0, &format.UUIDType{})
	logical("float16 of one byte", format.FixedLenByteArray, 1, &format.Float16Type{})
	logical("date in bytes", format.ByteArray, 0, &format.DateType{})
	logical("time in a boolean", format.Boolean, 0, &format.TimeType{Unit: parquet.Microsecond.TimeUnit()})
	logical("timestamp in int32", format.Int32, 0, &format.TimestampType{Unit: parquet.Nanosecond.TimeUnit()})
	logical("integers of seven bits", format.Int32, 0, &format.IntType{BitWidth: 7, IsSigned: true})
	logical("integers of 64 bits in 32", format.Int32, 0, &format.IntType{BitWidth: 64, IsSigned: true})
	l.column("old type interval in text", func(e *element) {
		e.LogicalType, e.ConvertedType.V, e.ConvertedType.Valid = format.LogicalType{}, 21, true
	})
	l.column("old type unknown", func(e *element) {
		e.LogicalType, e.ConvertedType.V, e.ConvertedType.Valid = format.LogicalType{}, 99, true
	})
	l.column("old type list on a column of values", func(e *element) {
		e.LogicalType, e.ConvertedType.V, e.ConvertedType.Valid = format.LogicalType{}, 3, true
	})
	l.column("a column that is there under another name", func(e *element) { e.Name = "picked" })
	l.column("a column that becomes optional", func(e *element) { e.RepetitionType = thrift.New(format.Optional) })
	l.column("a column that becomes a list", func(e *element) { e.RepetitionType = thrift.New(format.Repeated) })
}

// parquetGroups are faults of row groups and columns in them.
func (l *parquetList) parquetGroups() {
	type meta = format.FileMetaData
	l.footer("row group of minus one row", func(m *meta) { m.RowGroups[1].NumRows = -1 })
	l.footer("row group of one row more", func(m *meta) { m.RowGroups[1].NumRows++ })
	l.footer("row group of one row less", func(m *meta) { m.RowGroups[1].NumRows-- })
	l.footer("row group of 2 to the 63 rows", func(m *meta) { m.RowGroups[1].NumRows = 1<<63 - 1 })
	l.footer("row groups of ten million rows each", func(m *meta) { m.RowGroups[0].NumRows, m.RowGroups[1].NumRows = 10_000_000, 10_000_000 })
	l.footer("footer counts other rows", func(m *meta) { m.NumRows = 5 })
	l.footer("footer counts minus four rows", func(m *meta) { m.NumRows = -4 })
	l.footer("row groups disagree on the number of columns", func(m *meta) { m.RowGroups[1].Columns = m.RowGroups[1].Columns[:2] })
	l.footer("row group without columns and many rows", func(m *meta) { m.RowGroups[0].Columns, m.RowGroups[0].NumRows, m.NumRows = nil, 1<<40, 1<<40+2 })
	l.footer("row groups disagree on the columns' order", func(m *meta) {
		c := m.RowGroups[1].Columns
		c[0], c[1] = c[1], c[0]
	})
	l.footer("a row group that is listed twice", func(m *meta) {
		m.RowGroups, m.NumRows = append(m.RowGroups, m.RowGroups[1]), m.NumRows+2
	})
	l.footer("no row group and four rows", func(m *meta) { m.RowGroups = nil })
	l.footer("row groups share a column's bytes", func(m *meta) {
		m.RowGroups[1].Columns[1].MetaData.DataPageOffset = m.RowGroups[0].Columns[1].MetaData.DataPageOffset
	})
	type chunk = format.ColumnChunk
	l.chunk("type by the row group is another", func(c *chunk) { c.MetaData.Type = format.Int64 })
	l.chunk("path in the schema is another", func(c *chunk) { c.MetaData.PathInSchema = thrift.Slice[string]{"rejected"} })
	l.chunk("path in the schema is empty", func(c *chunk) { c.MetaData.PathInSchema = nil })
	l.chunk("codec is unknown", func(c *chunk) { c.MetaData.Codec = 42 })
	l.chunk("codec is negative", func(c *chunk) { c.MetaData.Codec = -1 })
	l.chunk("codec is LZO", func(c *chunk) { c.MetaData.Codec = format.LZO })
	l.chunk("codec is the old LZ4", func(c *chunk) { c.MetaData.Codec = format.Lz4 })
	l.chunk("codec says zstd of what is plain", func(c *chunk) { c.MetaData.Codec = format.Zstd })
	l.chunk("codec says snappy of what is plain", func(c *chunk) { c.MetaData.Codec = format.Snappy })
	l.chunk("values more than rows", func(c *chunk) { c.MetaData.NumValues = 3 })
	l.chunk("values fewer than rows", func(c *chunk) { c.MetaData.NumValues = 1 })
	l.chunk("values of 2 to the 63", func(c *chunk) { c.MetaData.NumValues = 1<<63 - 1 })
	l.chunk("values of minus one", func(c *chunk) { c.MetaData.NumValues = -1 })
	l.chunk("offset of minus one", func(c *chunk) { c.MetaData.DataPageOffset = -1 })
	l.chunk("offset of zero", func(c *chunk) { c.MetaData.DataPageOffset = 0 })
	l.chunk("offset just below 2 to the 63", func(c *chunk) { c.MetaData.DataPageOffset = 1<<63 - 1 })
	l.chunk("offset a byte late", func(c *chunk) { c.MetaData.DataPageOffset++ })
	l.chunk("offset a byte early", func(c *chunk) { c.MetaData.DataPageOffset-- })
	l.chunk("size of minus one", func(c *chunk) { c.MetaData.TotalCompressedSize = -1 })
	l.chunk("size just below 2 to the 63", func(c *chunk) { c.MetaData.TotalCompressedSize = 1<<63 - 1 })
	l.chunk("size of zero", func(c *chunk) { c.MetaData.TotalCompressedSize = 0 })
	l.chunk("size a byte short", func(c *chunk) { c.MetaData.TotalCompressedSize-- })
	l.chunk("dictionary before the file", func(c *chunk) { c.MetaData.DictionaryPageOffset = 1 })
	l.chunk("in another file", func(c *chunk) { c.FilePath = "../other.parquet" })
	l.chunk("encrypted column", func(c *chunk) { c.CryptoMetadata.Value = &format.EncryptionWithFooterKey{} })
}

// parquetPages are faults of pages that are not compressed.
func (l *parquetList) parquetPages() {
	type page = parquetPage
	l.page("page of minus one byte", 1, func(p *page) { p.head.CompressedPageSize = -1 })
	l.page("page of minus one byte decompressed", 1, func(p *page) { p.head.UncompressedPageSize = -1 })
	l.page("page larger than its column", 1, func(p *page) { p.head.CompressedPageSize, p.head.UncompressedPageSize = 1<<20, 1<<20 })
	l.page("page of 2 to the 31 bytes", 1, func(p *page) { p.head.CompressedPageSize, p.head.UncompressedPageSize = 1<<31-1, 1<<31-1 })
	l.page("page of two sizes, not compressed", 1, func(p *page) { p.head.UncompressedPageSize++ })
	l.page("page of minus two values", 1, func(p *page) { p.head.DataPageHeader.V.NumValues = -2 })
	l.page("page of no values", 1, func(p *page) { p.head.DataPageHeader.V.NumValues = 0 })
	l.page("page of 2 to the 31 values", 1, func(p *page) { p.head.DataPageHeader.V.NumValues = 1<<31 - 1 })
	l.page("page of one value too few", 1, func(p *page) { p.head.DataPageHeader.V.NumValues = 1 })
	l.page("page in an unknown encoding", 1, func(p *page) { p.head.DataPageHeader.V.Encoding = 77 })
	l.page("page in a negative encoding", 1, func(p *page) { p.head.DataPageHeader.V.Encoding = -3 })
	l.page("page in an encoding for numbers", 1, func(p *page) { p.head.DataPageHeader.V.Encoding = format.DeltaBinaryPacked })
	l.page("page of split bytes that is text", 1, func(p *page) { p.head.DataPageHeader.V.Encoding = format.ByteStreamSplit })
	l.page("page of lengths that are not there", 1, func(p *page) { p.head.DataPageHeader.V.Encoding = format.DeltaLengthByteArray })
	l.page("page of prefixes that are not there", 1, func(p *page) { p.head.DataPageHeader.V.Encoding = format.DeltaByteArray })
	l.page("page refers to a dictionary that is not there", 1, func(p *page) { p.head.DataPageHeader.V.Encoding = format.RLEDictionary })
	l.page("page of an unknown kind", 1, func(p *page) { p.head.Type = 9 })
	l.page("page says that it is of version 2", 1, func(p *page) { p.head.Type = format.DataPageV2 })
	l.page("page says that it is an index", 1, func(p *page) { p.head.Type = format.IndexPage })
	l.page("page says that it is a dictionary", 1, func(p *page) {
		p.head.Type, p.head.DictionaryPageHeader = format.DictionaryPage, thrift.New(format.DictionaryPageHeader{NumValues: 2})
		p.head.DataPageHeader.Valid = false
	})
	l.page("page with a wrong checksum", 1, func(p *page) { p.head.CRC = 12345 })
	text := func(name string, n uint32) {
		l.page(name, 1, func(p *page) { binary.LittleEndian.PutUint32(p.body, n); p.head.CRC = 0 })
	}
	text("text of 2 to the 32 bytes", 1<<32-1)
	text("text longer than its page", 1000)
	text("text of 2 to the 31 bytes", 1<<31)
	l.page("text is no UTF-8", 1, func(p *page) { p.body[4], p.head.CRC = 0xff, 0 })
	l.page("text holds a NUL", 1, func(p *page) { p.body[5], p.head.CRC = 0, 0 })
	l.page("page is cut", 1, func(p *page) {
		p.body, p.head.CRC = p.body[:6], 0
		p.head.CompressedPageSize, p.head.UncompressedPageSize = 6, 6
	})
	l.page("page is empty", 1, func(p *page) {
		p.body, p.head.CRC = nil, 0
		p.head.CompressedPageSize, p.head.UncompressedPageSize = 0, 0
	})
	l.image("column without a page", func(im *parquetImage) { im.pages[1][1] = nil })
	l.image("column with a page twice", func(im *parquetImage) { im.pages[1][1] = append(im.pages[1][1], im.pages[1][1]...) })
	l.image("pages of no values without end", func(im *parquetImage) {
		empty := im.pages[1][1][0]
		empty.body, empty.head.CRC = nil, 0
		empty.head.CompressedPageSize, empty.head.UncompressedPageSize, empty.head.DataPageHeader.V.NumValues = 0, 0, 0
		pages := make([]parquetPage, 5000)
		for i := range pages {
			pages[i] = empty
		}
		im.pages[1][1] = pages
	})
	header := func(name string, head []byte) {
		im := imageOf(l.whole)
		file := im.bytes()
		at := im.meta.RowGroups[1].Columns[1].MetaData.DataPageOffset
		copy(file[at:], head)
		l.add(name, file)
	}
	header("page header is zeros", make([]byte, 12))
	header("page header is ones", bytes.Repeat([]byte{255}, 12))
	header("page header nests deep", bytes.Repeat([]byte{0x1c}, 28))
	header("page header with a text of 2 to the 31 bytes", []byte{0x18, 0xff, 0xff, 0xff, 0xff, 0x07})
	header("page header with a list of 2 to the 31 entries", []byte{0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07})
}

// compressed are faults of pages that are compressed.
func (l *parquetList) compressed(codec string) {
	type page = parquetPage
	l.page(codec+": page is garbage", 1, func(p *page) {
		for i := range p.body {
			p.body[i] = byte(0xc3 + 31*i)
		}
		p.head.CRC = 0
	})
	l.page(codec+": page is zeros", 1, func(p *page) { clear(p.body); p.head.CRC = 0 })
	l.page(codec+": page is cut", 1, func(p *page) {
		p.body, p.head.CRC = p.body[:len(p.body)/2], 0
		p.head.CompressedPageSize = int32(len(p.body))
	})
	l.page(codec+": page is empty", 1, func(p *page) { p.body, p.head.CRC, p.head.CompressedPageSize = nil, 0, 0 })
	l.page(codec+": page decompresses to less than it says", 1, func(p *page) { p.head.UncompressedPageSize++; p.head.CRC = 0 })
	l.page(codec+": page decompresses to more than it says", 1, func(p *page) { p.head.UncompressedPageSize--; p.head.CRC = 0 })
	l.page(codec+": page says that it is of 200 MB", 1, func(p *page) { p.head.UncompressedPageSize, p.head.CRC = 200_000_000, 0 })
	l.page(codec+": page says that it is of 2 GB", 1, func(p *page) { p.head.UncompressedPageSize, p.head.CRC = 1<<31-1, 0 })
	l.page(codec+": a bomb", 1, func(p *page) {
		c := map[string]compress.Codec{"SNAPPY": &parquet.Snappy, "GZIP": &parquet.Gzip, "BROTLI": &parquet.Brotli, "ZSTD": &parquet.Zstd, "LZ4_RAW": &parquet.Lz4Raw}[codec]
		p.body, p.head.CRC = must(c.Encode(nil, make([]byte, 100<<20))), 0
		p.head.CompressedPageSize = int32(len(p.body)) // it still says that it is of a few bytes
	})
}

// dictionaries are faults of dictionaries and of what refers to them.
func (l *parquetList) dictionaries() {
	type page = parquetPage
	first := func(name string, change func(*page)) {
		l.image(name, func(im *parquetImage) { change(&im.pages[1][1][0]) })
	}
	first("dictionary of minus one entry", func(p *page) { p.head.DictionaryPageHeader.V.NumValues = -1 })
	first("dictionary of 2 to the 31 entries", func(p *page) { p.head.DictionaryPageHeader.V.NumValues = 1<<31 - 1 })
	first("dictionary of more entries than it holds", func(p *page) { p.head.DictionaryPageHeader.V.NumValues = 3 })
	first("dictionary of no entries", func(p *page) { p.head.DictionaryPageHeader.V.NumValues = 0 })
	first("dictionary in an unknown encoding", func(p *page) { p.head.DictionaryPageHeader.V.Encoding = 60 })
	first("dictionary whose text is longer than it", func(p *page) { binary.LittleEndian.PutUint32(p.body, 999); p.head.CRC = 0 })
	first("dictionary's text is no UTF-8", func(p *page) { p.body[4], p.head.CRC = 0xff, 0 })
	first("dictionary is empty", func(p *page) {
		p.body, p.head.CRC, p.head.CompressedPageSize, p.head.UncompressedPageSize = nil, 0, 0, 0
	})
	last := func(name string, body []byte) {
		l.page(name, 1, func(p *page) {
			p.body, p.head.CRC = body, 0
			p.head.CompressedPageSize, p.head.UncompressedPageSize = int32(len(body)), int32(len(body))
		})
	}
	last("id outside the dictionary", []byte{3, 4, 7}) // a run of two 7s, of three bits
	last("id far outside the dictionary", []byte{32, 4, 255, 255, 255, 127})
	last("id of 2 to the 32", []byte{32, 4, 255, 255, 255, 255})
	last("ids of 200 bits", []byte{200, 4, 0})
	last("ids without their width", nil)
	last("ids of a run that is too short", []byte{1, 2, 0})
	last("ids of a run of 2 to the 31", []byte{1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0})
	last("ids of a run that ends in the middle", []byte{8, 0xff})
	l.image("dictionary behind the values", func(im *parquetImage) {
		p := im.pages[1][1]
		p[0], p[1] = p[1], p[0]
	})
	l.image("two dictionaries", func(im *parquetImage) {
		p := im.pages[1][1]
		im.pages[1][1] = []parquetPage{p[0], p[0], p[1]}
	})
	l.image("dictionary alone", func(im *parquetImage) { im.pages[1][1] = im.pages[1][1][:1] })
}

// lists are faults of levels, which say where lists and nulls are. Column 1 is completions.list.element.
func (l *parquetList) lists() {
	type page = parquetPage
	v2 := func(name string, column int, change func(*page, *format.DataPageHeaderV2)) {
		l.page(name, column, func(p *page) { p.head.CRC = 0; change(p, &p.head.DataPageHeaderV2.V) })
	}
	type head = format.DataPageHeaderV2
	v2("levels of minus one byte", 1, func(_ *page, h *head) { h.DefinitionLevelsByteLength = -1 })
	v2("levels longer than the page", 1, func(_ *page, h *head) { h.DefinitionLevelsByteLength = 1 << 20 })
	v2("levels of 2 to the 31 bytes twice", 1, func(_ *page, h *head) { h.DefinitionLevelsByteLength, h.RepetitionLevelsByteLength = 1<<31-1, 1<<31-1 })
	v2("no levels of lists", 1, func(_ *page, h *head) { h.RepetitionLevelsByteLength = 0 })
	v2("no levels of nulls", 1, func(_ *page, h *head) { h.DefinitionLevelsByteLength = 0 })
	v2("levels of lists and nulls exchanged", 2, func(_ *page, h *head) {
		h.DefinitionLevelsByteLength, h.RepetitionLevelsByteLength = h.RepetitionLevelsByteLength+1, h.DefinitionLevelsByteLength-1
	})
	v2("nulls more than values", 2, func(_ *page, h *head) { h.NumNulls = 100 })
	v2("nulls of minus one", 2, func(_ *page, h *head) { h.NumNulls = -1 })
	v2("nulls where there are none", 0, func(_ *page, h *head) { h.NumNulls = 1 })
	v2("rows of minus one", 1, func(_ *page, h *head) { h.NumRows = -1 })
	v2("rows more than values", 1, func(_ *page, h *head) { h.NumRows = 77 })
	v2("values of one too many", 1, func(_ *page, h *head) { h.NumValues++ })
	v2("levels are garbage", 1, func(p *page, _ *head) { copy(p.body, bytes.Repeat([]byte{0xff}, 4)) })
	v2("levels are zeros", 1, func(p *page, h *head) { clear(p.body[:h.RepetitionLevelsByteLength+h.DefinitionLevelsByteLength]) })
	v2("first value goes on with a list", 1, func(p *page, h *head) {
		r := append([]byte{8, 1}, make([]byte, h.RepetitionLevelsByteLength-2)...)
		copy(p.body, r)
	})
	l.page("scores as bytes of an odd number", 2, func(p *page) {
		p.body, p.head.CRC = p.body[:len(p.body)-3], 0
		p.head.CompressedPageSize, p.head.UncompressedPageSize = int32(len(p.body)), int32(len(p.body))
	})
}

// rows are files that are whole, and whose rows mean nothing.
func (l *parquetList) rows() {
	options := parquet.Compression(&parquet.Uncompressed)
	l.add("no column of answers", parquetOf([]struct {
		Prompt string `parquet:"prompt"`
		Text   string `parquet:"reply"`
	}{{"p", "a"}}, options))
	l.add("answers are numbers", parquetOf([]struct {
		Prompt   string `parquet:"prompt"`
		Chosen   int64  `parquet:"chosen"`
		Rejected int64  `parquet:"rejected"`
	}{{"p", 1, 2}}, options))
	type scored struct {
		Prompt      string    `parquet:"prompt"`
		Completions []string  `parquet:"completions,list"`
		Scores      []float64 `parquet:"scores,list"`
	}
	nan := 0.0
	nan /= nan
	l.add("a score that is NaN", parquetOf([]scored{{"p", []string{"a", "b"}, []float64{1, nan}}}, options))
	l.add("scores for other answers", parquetOf([]scored{{"p", []string{"a", "b"}, []float64{1, 2, 3}}}, options))
	l.add("no answers", parquetOf([]scored{{"p", nil, nil}}, options))
	l.add("no rows", parquetOf([]parquetPair{}, options))
}
