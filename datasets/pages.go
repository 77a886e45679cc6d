package datasets

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// The Parquet library believes what the header of a page says, and some of its decompressors grow their buffer until the memory is
// full where a page is damaged, or holds more than its header says. So the pages of a column are followed here first: their headers
// are held to the column's, and what is compressed is decompressed to the size that its header states.

// checkPages follows the pages of a column, and of those below it, in a row group.
func (f *parquetFile) checkPages(group int, c *parquet.Column) error {
	if f.meta.RowGroups[group].NumRows == 0 {
		return nil // its columns lie nowhere
	}
	if c.Leaf() {
		p := pageCheck{file: f.file, meta: &f.meta.RowGroups[group].Columns[c.Index()].MetaData, limit: currentLimits().PageBytes}
		p.shape = pageValues{typ: p.meta.Type, width: int32(c.Type().Length()), repetition: c.MaxRepetitionLevel(), definition: c.MaxDefinitionLevel()}
		if err := p.all(); err != nil {
			return fmt.Errorf("column %s: %w", schemaName(c.Path()), err)
		}
	}
	for _, child := range c.Columns() {
		if err := f.checkPages(group, child); err != nil {
			return err
		}
	}
	return nil
}

// pageCheck follows the pages of one column chunk.
type pageCheck struct {
	file  io.ReaderAt
	meta  *format.ColumnMetaData
	limit int64
	shape pageValues // what all pages of the column have in common

	values     int64 // of the data pages so far
	dictionary int64 // entries; -1 while there is none
	data, out  []byte
}

func (p *pageCheck) all() error {
	at, length := chunkRange(p.meta)
	end := at + length
	p.dictionary = -1
	for page := 0; at < end; page++ {
		next, err := p.page(at, end)
		if err != nil {
			return fmt.Errorf("page %d: %w", page, err)
		}
		at = next
	}
	if p.values != p.meta.NumValues {
		return fmt.Errorf("its pages hold %d values where the footer counts %d: the file is damaged", p.values, p.meta.NumValues)
	}
	return nil
}

// page checks the page at a place of the file, and says where the next begins.
func (p *pageCheck) page(at, end int64) (next int64, err error) {
	h, n, err := p.header(at, end)
	if err != nil {
		return 0, err
	}
	at += n
	size, whole := int64(h.CompressedPageSize), int64(h.UncompressedPageSize)
	switch {
	case size < 0 || whole < 0:
		return 0, fmt.Errorf("it is of %d bytes, decompressed of %d: the file is damaged", size, whole)
	case size > end-at:
		return 0, fmt.Errorf("it is of %d bytes, where its column ends after %d: the file is damaged", size, end-at)
	case whole > p.limit:
		return 0, fmt.Errorf("it is of %d bytes, more than --max-page-bytes %d: write smaller pages, or allow more", whole, p.limit)
	}
	body, err := p.kind(h, whole)
	if err != nil {
		return 0, err
	}
	if body.repetition+body.definition > min(size, whole) {
		return 0, fmt.Errorf("its levels are of %d and %d bytes of its %d: the file is damaged", body.definition, body.repetition, size)
	}
	p.data = room(p.data, int(size))
	if _, err := p.file.ReadAt(p.data, at); err != nil {
		return 0, fmt.Errorf("it cannot be read: %w", err)
	}
	levels := body.repetition + body.definition
	data := p.data[levels:]
	switch {
	case body.compressed:
		if data, err = p.decompress(data, whole-levels); err != nil {
			return 0, err
		}
	case size != whole:
		return 0, fmt.Errorf("it is of %d bytes, and not compressed, but is to be of %d: the file is damaged", size, whole)
	}
	switch h.Type {
	case format.DictionaryPage:
		err = body.checkPlain(data, body.count)
	case format.DataPage:
		err = body.checkV1(data)
	case format.DataPageV2:
		err = body.checkV2(p.data[:body.repetition], p.data[body.repetition:levels], data)
	}
	return at + size, err
}

// header reads the header of a page, of which nobody knows how long it is: it may hold the least and the greatest value.
func (p *pageCheck) header(at, end int64) (h *format.PageHeader, length int64, err error) {
	var n int
	for window := int64(512); ; window *= 8 {
		window = min(window, end-at)
		p.data = room(p.data, int(window))
		if _, err := p.file.ReadAt(p.data, at); err != nil {
			return nil, 0, fmt.Errorf("its header cannot be read: %w", err)
		}
		n, _, err = walkThrift(p.data)
		if err == nil {
			break
		}
		if window == end-at || window > 64<<20 {
			return nil, 0, fmt.Errorf("its header is damaged: %w", err)
		}
	}
	h = &format.PageHeader{}
	if err := thrift.Unmarshal(&thrift.CompactProtocol{}, p.data[:n], h); err != nil {
		return nil, 0, fmt.Errorf("its header is damaged: %w", err)
	}
	return h, int64(n), nil
}

// pageBody says how the bytes of a page are held.
type pageBody struct {
	pageValues
	compressed             bool
	repetition, definition int64 // bytes of levels before what is compressed
}

// kind checks what a header says of the page's kind.
func (p *pageCheck) kind(h *format.PageHeader, whole int64) (body pageBody, err error) {
	body = pageBody{pageValues: p.shape, compressed: p.meta.Codec != format.Uncompressed}
	switch {
	case h.Type == format.DictionaryPage && h.DictionaryPageHeader.Valid:
		v := &h.DictionaryPageHeader.V
		if p.dictionary >= 0 || p.values > 0 {
			return body, errors.New("it is a dictionary, where a page of values should be: the file is damaged")
		}
		if v.Encoding != format.Plain && v.Encoding != plainDictionary {
			return body, fmt.Errorf("it is a dictionary in the encoding %d, which is not supported", v.Encoding)
		}
		body.count, body.encoding = int64(v.NumValues), format.Plain
		p.dictionary = body.count
		return body, p.count(p.dictionary, whole)
	case h.Type == format.DataPage && h.DataPageHeader.Valid:
		v := &h.DataPageHeader.V
		body.count, body.encoding, body.levels, body.dictionary = int64(v.NumValues), v.Encoding, format.RLE, p.dictionary
		if p.shape.definition > 0 && v.DefinitionLevelEncoding != format.RLE || p.shape.repetition > 0 && v.RepetitionLevelEncoding != format.RLE {
			body.levels = format.BitPacked
		}
		return body, p.dataPage(body.count, v.Encoding)
	case h.Type == format.DataPageV2 && h.DataPageHeaderV2.Valid:
		v := &h.DataPageHeaderV2.V
		body.count, body.encoding, body.dictionary = int64(v.NumValues), v.Encoding, p.dictionary
		body.definition, body.repetition = int64(v.DefinitionLevelsByteLength), int64(v.RepetitionLevelsByteLength)
		switch {
		case body.definition < 0 || body.repetition < 0:
			return body, fmt.Errorf("its levels are of %d and %d bytes: the file is damaged", body.definition, body.repetition)
		case v.NumNulls < 0 || v.NumNulls > v.NumValues || v.NumRows < 0 || v.NumRows > v.NumValues:
			return body, fmt.Errorf("it has %d rows and %d nulls in %d values: the file is damaged", v.NumRows, v.NumNulls, v.NumValues)
		case v.NumNulls > 0 && p.shape.definition == 0:
			return body, fmt.Errorf("it has %d nulls, where the schema allows none: the file is damaged", v.NumNulls)
		}
		body.compressed = body.compressed && (!v.IsCompressed.Valid || v.IsCompressed.V)
		return body, p.dataPage(body.count, v.Encoding)
	case h.Type == format.IndexPage:
		return body, errors.New("it is an index, where values should be: the file is damaged")
	}
	return body, fmt.Errorf("it is of kind %d without the header of that kind: the file is damaged", h.Type)
}

// plainDictionary is the encoding that older writers name where newer ones name format.RLEDictionary, and format.Plain of the dictionary itself.
const plainDictionary format.Encoding = 2

// dataPage counts the values of a page.
func (p *pageCheck) dataPage(values int64, encoding format.Encoding) error {
	if (encoding == plainDictionary || encoding == format.RLEDictionary) && p.dictionary < 0 {
		return errors.New("it refers to a dictionary, and there is none before it: the file is damaged")
	}
	if encoding < 0 || encoding == 1 || encoding == format.BitPacked || encoding > format.ByteStreamSplit {
		return fmt.Errorf("its encoding is %d, which Parquet does not have for values", encoding)
	}
	if values > p.meta.NumValues-p.values {
		return fmt.Errorf("it has %d values, where %d are left of its column: the file is damaged", values, p.meta.NumValues-p.values)
	}
	p.values += max(values, 0)
	return p.count(values, math.MaxInt64)
}

// count checks a number of values, of at most a byte each where they lie as they are.
func (p *pageCheck) count(values, most int64) error {
	switch {
	case values < 0 || values > most && p.meta.Type != format.Boolean:
		return fmt.Errorf("it is to have %d values, which its bytes cannot hold: the file is damaged", values)
	case values > p.limit/16:
		return fmt.Errorf("it has %d values, more than --max-page-bytes %d allows (one for sixteen bytes): write smaller pages, or allow more", values, p.limit)
	}
	return nil
}

// decompress gives the bytes of a page decompressed, which must be a number of bytes; they are good until the next page.
func (p *pageCheck) decompress(data []byte, whole int64) ([]byte, error) {
	size := int64(len(data))
	if size == 0 && whole == 0 {
		return nil, nil
	}
	bad := fmt.Errorf("its %d bytes do not decompress, by %s, to the %d that its header says: the file is damaged", size, p.meta.Codec, whole)
	switch p.meta.Codec {
	case format.Gzip:
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, bad
		}
		return p.exactly(r, whole, bad)
	case format.Brotli:
		return p.exactly(brotli.NewReader(bytes.NewReader(data)), whole, bad)
	case format.Zstd:
		return p.zstd(data, whole, bad)
	}
	// A block of LZ4 has at most 255 bytes for each of its own, one of Snappy fewer; that begins with its size.
	stated, k := binary.Uvarint(data)
	if whole > 255*size+64 || p.meta.Codec == format.Snappy && (k <= 0 || stated != uint64(whole)) {
		return nil, bad
	}
	p.out = room(p.out, int(whole))
	var n int
	var err error
	if p.meta.Codec == format.Snappy {
		var out []byte
		out, err = snappy.Decode(p.out, data)
		n = len(out)
	} else {
		n, err = lz4.UncompressBlock(data, p.out)
	}
	if err != nil || n != len(p.out) {
		return nil, bad
	}
	return p.out, nil
}

// exactly reads as many bytes, and checks that no more follow. Room grows with what comes.
func (p *pageCheck) exactly(r io.Reader, n int64, bad error) ([]byte, error) {
	b := bytes.NewBuffer(p.out[:0])
	got, err := b.ReadFrom(io.LimitReader(r, n+1))
	if p.out = b.Bytes(); err != nil || got != n {
		return nil, bad
	}
	return p.out, nil
}

var zstdReader, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))

// zstd decompresses into room that grows with what comes out, so that a header's claim alone takes none.
func (p *pageCheck) zstd(data []byte, whole int64, bad error) ([]byte, error) {
	for size := min(whole, max(1<<20, 8*int64(len(data)))); ; size = min(whole, 4*size) {
		p.out = room(p.out, int(size))
		out, err := zstdReader.DecodeAll(data, p.out[:0:size])
		switch {
		case err == nil && int64(len(out)) == whole:
			return out, nil
		case !errors.Is(err, zstd.ErrDecoderSizeExceeded) || size == whole:
			return nil, bad
		}
	}
}

// room returns n bytes, in b if it has them.
func room(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
