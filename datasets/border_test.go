package datasets

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// A panic of the Parquet library ends at our border, in an error with the file's name and, of reading, the column.
func TestPanicsOfTheLibraryAreErrors(t *testing.T) {
	path := writeParquet(t, []textRow{{"p", "a", "b"}}, 1)
	f, err := openParquet(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := f.newRowGroup(0, f.RowGroups()[0], map[string]bool{"prompt": true, "chosen": true})
	if err != nil {
		t.Fatal(err)
	}
	g.columns[1].leaves[0].decode = func(parquet.Value) (any, error) { panic("out of range") }
	if _, err := g.read(); err == nil || err.Error() != "column chosen: the file is damaged: out of range" {
		t.Errorf("read: %v", err)
	}
	g.close()

	table, err := OpenTable(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	to := filepath.Join(t.TempDir(), "out.parquet")
	w, err := CreateTable(to, table, nil, TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	w.writer = nil // so that the library fails at the first row
	if err := w.Write(Row{Group: Group{Row: 7}}); err == nil || !strings.HasPrefix(err.Error(), "writing "+to+": row 7: the Parquet library failed: ") {
		t.Errorf("written: %v", err)
	}
	if err := w.Close(); err == nil || !strings.HasPrefix(err.Error(), "writing "+to+": the Parquet library failed: ") {
		t.Errorf("closed: %v", err)
	}
}

func TestWalkThrift(t *testing.T) {
	whole := []byte{0x15, 2, 0x19, 0x2c, 0, 0x11, 0, 0x18, 1, 'a', 0} // an int, a list of two structures, a text
	if n, structs, err := walkThrift(append(whole, 9, 9)); n != len(whole) || structs != 2 || err != nil {
		t.Errorf("%d bytes, %d structures, %v", n, structs, err)
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"cut":                 {whole[:8], errThriftCut},
		"empty":               {nil, errThriftCut},
		"text of 2 to the 63": {[]byte{0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, errThriftCut},
		"text too long":       {[]byte{0x18, 0xff, 0xff, 0xff, 0xff, 0x0f}, errThriftCut},
		"structures too deep": {bytes.Repeat([]byte{0x1c}, 100), errThriftDeep},
		"lists too deep":      {bytes.Repeat([]byte{0x19}, 100), errThriftDeep},
		"mappings too deep":   {append([]byte{0x1b}, bytes.Repeat([]byte{1, 0xbb}, 100)...), errThriftDeep},
	} {
		if _, _, err := walkThrift(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRuns(t *testing.T) {
	for name, c := range map[string]struct {
		data         []byte
		width, count int
		want         string // numbers, or a part of the error
	}{
		"a run of one number":         {[]byte{6, 5}, 3, 3, "555"},
		"a packed group":              {[]byte{3, 0b10001000, 0b11000110, 0b11111010}, 3, 8, "01234567"},
		"a packed group not filled":   {[]byte{3, 0b10001000, 0b11000110, 0b11111010}, 3, 5, "01234"},
		"both":                        {[]byte{4, 1, 3, 0b11111111}, 1, 10, "1111111111"},
		"nothing":                     {nil, 1, 0, ""},
		"too few":                     {[]byte{6, 5}, 3, 4, "it has 3 of 4 values"},
		"a run without its number":    {[]byte{6}, 3, 3, "it has 0 of 3 values"},
		"a group that is cut":         {[]byte{3, 0xff}, 3, 8, "it has 0 of 8 values"},
		"a run of a thousand million": {[]byte{0xfe, 0xff, 0xff, 0xff, 0x0f, 1}, 1, 3, "it has a run of 2147483647 values, where 3 are left"},
		"the same behind the last":    {[]byte{6, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1}, 1, 3, "it has a run of 2147483647 values, where 0 are left"},
		"groups without end":          {[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 1, 3, "it has a run of 34359738368 values"},
	} {
		got := ""
		r := runs{data: c.data, width: c.width, count: int64(c.count)}
		err := r.each(func(x uint32, n int64) error {
			got += strings.Repeat(string(rune('0'+x)), int(n))
			return nil
		})
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) || err == nil && got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// The bytes of decimals, dates and others must be those that their readers take them for.
func TestSchemaIsHeldToItsTypes(t *testing.T) {
	for _, e := range []format.SchemaElement{
		{Name: "a", LogicalType: format.LogicalType{Value: &format.DecimalType{Precision: 3, Scale: 4}}},
		{Name: "a", LogicalType: format.LogicalType{Value: &format.UUIDType{}}},
		{Name: "a", LogicalType: format.LogicalType{Value: &format.StringType{}}},
	} {
		e.Type.V, e.Type.Valid = format.Int32, true
		if err := checkElement(&e, false); err == nil {
			t.Errorf("%v in int32 is taken", e.LogicalType.String())
		}
	}
}

// FuzzWalkThrift holds that no bytes are walked beyond their end.
func FuzzWalkThrift(f *testing.F) {
	f.Add([]byte{0x15, 2, 0x19, 0x2c, 0, 0x11, 0, 0x18, 1, 'a', 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, structs, err := walkThrift(data); err == nil && (n > len(data) || structs > int64(len(data))) {
			t.Fatalf("%d of %d bytes, %d structures", n, len(data), structs)
		}
	})
}
