package datasets

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
)

// parquetSeeds are small files of several codecs, encodings and kinds of columns, for the fuzzer to begin with.
func parquetSeeds(t testing.TB) [][]byte {
	t.Helper()
	var seeds [][]byte
	keep := func(path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, data)
	}
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Brotli, &parquet.Zstd, &parquet.Lz4Raw} {
		keep(writeParquet(t, chats(3), 2, parquet.Compression(codec)))
		keep(writeParquet(t, []textRow{{"p", "a", "b"}, {"q", "c", "d"}}, 2, parquet.Compression(codec), parquet.DataPageVersion(1)))
	}
	a, b, one := "a", "b", 1.0
	keep(writeParquet(t, []scoredRow{{"p", []*string{&a, nil, &b}, []*float64{&one, nil, &one}}}, 1))
	return seeds
}

// FuzzParquet reads a file as train does and as data convert does: whatever the bytes, they are read or refused, and never more than
// so many rows come of a small file.
func FuzzParquet(f *testing.F) {
	for _, seed := range parquetSeeds(f) {
		f.Add(seed)
	}
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return // a copy of a copy teaches nothing, and is slow
		}
		path := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		// A valid file of a few bytes may stand for millions of rows, each of one value.
		SetLimits(Limits{PageBytes: 1 << 20, RowGroupRows: 1 << 12})
		rows := 0
		for range Read([]string{path}, Options{}) {
			if rows++; rows > 1<<14 {
				break
			}
		}
		table, err := OpenTable(path, Options{AnyColumns: true})
		if err != nil {
			return
		}
		defer table.Close()
		rows = 0
		for row, err := range table.Rows(0) {
			if rows++; err != nil || rows > 1<<14 {
				break
			}
			_, _ = table.JSON(row)
		}
	})
}

// FuzzParseObject checks that what is taken for an object of JSON is valid JSON, and keeps its fields.
func FuzzParseObject(f *testing.F) {
	f.Add([]byte(`{"prompt":"p","ranks":[1,2.5,null],"a":{"b":true}}`))
	f.Add([]byte(`{"\ud83d\ude00":"\u0000"}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := parseObject(data)
		if err != nil {
			return
		}
		if len(o.names) != len(o.raw) {
			t.Fatalf("%d names of %d fields", len(o.names), len(o.raw))
		}
		for name, raw := range o.raw {
			if len(bytes.TrimSpace(raw)) == 0 {
				t.Fatalf("field %q is empty", name)
			}
			kindOf(raw)
		}
		if _, err := o.record("x", o.all()); err != nil {
			t.Fatal(err)
		}
	})
}

// all asks for each field.
func (o object) all() map[string]bool {
	want := map[string]bool{}
	for _, name := range o.names {
		want[name] = true
	}
	return want
}
