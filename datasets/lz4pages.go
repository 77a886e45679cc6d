package datasets

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// The Parquet library takes any failure to decompress LZ4 for a buffer that is too small, and doubles it until the memory is
// full: one wrong byte would end the program. So the pages of such columns are decompressed here first, to the size that their
// headers state.

// checkLZ4 decompresses the pages of a column in a row group, if it is compressed with LZ4.
func (f *parquetFile) checkLZ4(group int, c *parquet.Column) error {
	if c.Leaf() {
		m := &f.Metadata().RowGroups[group].Columns[c.Index()].MetaData
		if m.Codec != format.Lz4Raw {
			return nil
		}
		start := m.DataPageOffset
		if m.DictionaryPageOffset != 0 {
			start = m.DictionaryPageOffset
		}
		if err := checkPages(io.NewSectionReader(f.file, start, m.TotalCompressedSize), m.TotalCompressedSize); err != nil {
			return fmt.Errorf("column %s: %w", c.Name(), err)
		}
	}
	for _, child := range c.Columns() {
		if err := f.checkLZ4(group, child); err != nil {
			return err
		}
	}
	return nil
}

var errPage = errors.New("a page cannot be decompressed: the file is damaged")

// checkPages decompresses the pages of a column, whose bytes are of a size.
func checkPages(r io.Reader, size int64) error {
	in := bufio.NewReader(r)
	var protocol thrift.CompactProtocol
	headers := thrift.NewDecoder(protocol.NewReader(in))
	var data, out []byte
	for {
		if _, err := in.Peek(1); err == io.EOF {
			return nil
		}
		var h format.PageHeader
		if err := headers.Decode(&h); err != nil {
			return errPage
		}
		compressed, whole := int(h.CompressedPageSize), int(h.UncompressedPageSize)
		// A block of LZ4 has at most 255 bytes for each of its own.
		if compressed < 0 || int64(compressed) > size || whole < 0 || whole > 255*compressed+64 {
			return errPage
		}
		data, out = room(data, compressed), room(out, whole)
		if _, err := io.ReadFull(in, data); err != nil {
			return errPage
		}
		if v2 := h.DataPageHeaderV2; v2.Valid {
			levels := int(v2.V.RepetitionLevelsByteLength) + int(v2.V.DefinitionLevelsByteLength)
			if levels < 0 || levels > compressed || levels > whole {
				return errPage
			}
			if v2.V.IsCompressed.Valid && !v2.V.IsCompressed.V {
				continue
			}
			data, out = data[levels:], out[levels:]
		}
		if len(out) == 0 && len(data) == 0 {
			continue
		}
		if n, err := lz4.UncompressBlock(data, out); err != nil || n != len(out) {
			return errPage
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
