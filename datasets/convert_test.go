package datasets

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
)

// convertTo converts files to a fresh one of the name, and returns its path.
func convertTo(t testing.TB, name string, from ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	var last Conversion
	for c, err := range Convert(from, out, false) {
		if err != nil {
			t.Fatal(err)
		}
		last = c
	}
	if last.Rows != last.Total {
		t.Fatalf("converted %d rows of %d", last.Rows, last.Total)
	}
	return out
}

func readText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A row of every kind of column as JSON has it: fields in order, nulls there, numbers exact.
func TestConvertToJSON(t *testing.T) {
	lines := strings.Split(readText(t, convertTo(t, "a.jsonl", writeParquet(t, wides(5), 2))), "\n")
	want := []string{
		`{"zeta":0,"prompt":"prompt 0","turns":[],"chosen":"good","tags":[],"rejected":"bad","when":"2023-11-14T22:13:20Z",` +
			`"id":"00000000-0000-0000-0000-000000000000","price":0.00,"raw":null,"maybe":null,"nulls":[],"alpha":0}`,
		`{"zeta":-1,"prompt":"prompt 1","turns":[[],[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]],"chosen":"good",` +
			`"tags":[{"key":"tag1","value":1}],"rejected":"bad","when":"2023-11-14T22:13:20.000001Z","id":"00000000-0000-0000-0000-000000000001",` +
			`"price":1.00,"raw":"AP8B","maybe":{"A":true,"B":null},"nulls":[null,0.5,null],"alpha":1}`,
	}
	for i, w := range want {
		if lines[i] != w {
			t.Errorf("row %d is\n%s\nwant\n%s", i, lines[i], w)
		}
	}
	if len(lines) != 6 || lines[5] != "" {
		t.Errorf("%d lines for 5 rows", len(lines))
	}
	array := readText(t, convertTo(t, "a.json", writeParquet(t, wides(5), 2)))
	if want := "[\n" + strings.Join(lines[:5], ",\n") + "\n]\n"; array != want {
		t.Errorf("the array is\n%s\nwant\n%s", array, want)
	}
}

// Repeated fields with no list around them, as old writers have them, are lists all the same.
func TestConvertBareLists(t *testing.T) {
	type turn struct {
		Tags []string `parquet:"tags"`
		Text string   `parquet:"text"`
	}
	from := writeParquet(t, []struct {
		Turns []turn `parquet:"turns"`
	}{{[]turn{{[]string{"a", "b"}, "x"}, {nil, "y"}}}, {nil}}, 2)
	if got, want := readText(t, convertTo(t, "a.jsonl", from)), `{"turns":[{"tags":["a","b"],"text":"x"},{"tags":[],"text":"y"}]}`+"\n"+`{"turns":[]}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// JSON goes through Parquet and comes back as it was, values of several kinds in one column too.
func TestConvertThereAndBack(t *testing.T) {
	text := `{"prompt":"a \"b\"\\\n\r\t\u0001 é","chosen":[{"role":"user","content":"q"}],"rejected":[],"n":-9007199254740993,"x":1.0,"deep":[[{"k":[true]}],[]],"none":null,"mixed":[{"z":1.0,"a":12345678901234567890}],"in":[{"x":{}},{"x":"{}"}]}` + "\n" +
		`{"prompt":"","chosen":null,"rejected":[{"role":null,"content":"w"}],"n":null,"x":-2.5e-300,"deep":null,"none":null,"mixed":"[{\"z\":\"é<\"}]","in":[{"x":[1e999]}]}` + "\n"
	from := write(t, "in.jsonl", text)
	through := convertTo(t, "out.parquet", from)
	if got := readText(t, convertTo(t, "back.jsonl", through)); got != text {
		t.Errorf("came back as\n%s\nwas\n%s", got, text)
	}
	again := convertTo(t, "again.parquet", convertTo(t, "out.json", through))
	if a, b := readText(t, through), readText(t, again); a != b {
		t.Error("through JSON the Parquet file is another")
	}
}

// From JSON to JSON values stay as they are, even where a column holds several kinds.
func TestConvertJSONToJSON(t *testing.T) {
	from := write(t, "in.json", `[{"a":1, "b": {"x" : [1, "y"]}}, {"b":"z","c":1e999}]`)
	if got, want := readText(t, convertTo(t, "out.jsonl", from)), `{"a":1,"b":{"x":[1,"y"]}}`+"\n"+`{"b":"z","c":1e999}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestConvertManyFilesAndNone(t *testing.T) {
	a, b := writeParquet(t, wides(3), 2), writeParquet(t, wides(1500), 700)
	rows, f := readBack(t, convertTo(t, "all.parquet", a, b))
	want, _ := readBack(t, b)
	if len(rows) != 1503 || !reflect.DeepEqual(rows[3:], want) && !reflect.DeepEqual(rows[:1500], want) {
		t.Errorf("%d rows", len(rows))
	}
	if n := len(f.RowGroups()); n != 1 {
		t.Errorf("%d row groups of 10,000 rows", n)
	}
	empty := writeParquet(t, []wide{}, 1)
	for name, want := range map[string]string{"a.jsonl": "", "a.json": "[]\n"} {
		if got := readText(t, convertTo(t, name, empty)); got != want {
			t.Errorf("no rows as %s: %q", name, got)
		}
	}
	if rows, _ := readBack(t, convertTo(t, "none.parquet", empty)); len(rows) != 0 {
		t.Errorf("%d rows of none", len(rows))
	}
}

func TestConvertRefusals(t *testing.T) {
	good := write(t, "good.jsonl", `{"a":1}`)
	notText := writeParquet(t, []struct {
		Text string `parquet:"text"`
	}{{"fine"}, {"\xff"}}, 1)
	there := write(t, "there.jsonl", "before")
	for _, c := range []struct {
		name, out string
		from      []string
		want      string
	}{
		{"there already", there, []string{good}, "there.jsonl is there already: give --overwrite"},
		{"another format", "x.csv", []string{good}, `no reader for the extension ".csv"`},
		{"other columns", "x.parquet", []string{good, write(t, "z.jsonl", `{"a":"b"}`)}, "the columns of"},
		{"a broken line", "x.parquet", []string{write(t, "bad.jsonl", `{"a":1}`+"\n{")}, "bad.jsonl:2: not JSON: it ends in the middle"},
		{"bytes as text", "x.jsonl", []string{notText}, "row 1 of " + notText + ": column text: it holds text that is not valid UTF-8"},
		{"no folder", "none/x.parquet", []string{good}, "writing"},
		{"nothing", "x.parquet", []string{"nowhere.jsonl"}, "nowhere.jsonl"},
	} {
		dir := t.TempDir()
		out := c.out
		if !filepath.IsAbs(out) {
			out = filepath.Join(dir, out)
		}
		var got error
		for _, got = range Convert(c.from, out, false) {
			if got != nil {
				break
			}
		}
		if got == nil || !strings.Contains(got.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, got, c.want)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: leaves %v", c.name, left)
		}
	}
	if got := readText(t, there); got != "before" {
		t.Errorf("the file that was there holds %q", got)
	}
}

// A loop that ends early leaves no file, not even a temporary one.
func TestConvertStopsWhenTheLoopDoes(t *testing.T) {
	dir := t.TempDir()
	for range Convert([]string{writeParquet(t, wides(1500), 500)}, filepath.Join(dir, "x.jsonl"), false) {
		break
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("leaves %v", left)
	}
}

// Each logical type as JSON, and as the number that a record would hold.
func TestScalars(t *testing.T) {
	half := func(bits uint16) parquet.Value {
		return parquet.FixedLenByteArrayValue(binary.LittleEndian.AppendUint16(nil, bits))
	}
	fixed := func(b ...byte) parquet.Value { return parquet.FixedLenByteArrayValue(b) }
	float16 := halfType{parquet.FixedLenByteArrayType(2)}
	decimal := func(scale int, of parquet.Type) parquet.Type { return parquet.Decimal(scale, 9, of).Type() }
	for _, c := range []struct {
		typ   parquet.Type
		value parquet.Value
		json  string
		loose any
	}{
		{parquet.BooleanType, parquet.BooleanValue(true), "true", true},
		{parquet.Int32Type, parquet.Int32Value(-7), "-7", -7.},
		{parquet.Int64Type, parquet.Int64Value(math.MinInt64), "-9223372036854775808", float64(math.MinInt64)},
		{parquet.Uint(8).Type(), parquet.Int32Value(200), "200", 200.},
		{parquet.Uint(32).Type(), parquet.Int32Value(-1), "4294967295", 4294967295.},
		{parquet.Uint(64).Type(), parquet.Int64Value(-1), "18446744073709551615", 18446744073709551615.},
		{parquet.FloatType, parquet.FloatValue(0.1), "0.1", float64(float32(0.1))},
		{parquet.DoubleType, parquet.DoubleValue(3), "3.0", 3.},
		{parquet.DoubleType, parquet.DoubleValue(1e300), "1e+300", 1e300},
		{parquet.DoubleType, parquet.DoubleValue(math.Inf(-1)), "null", math.Inf(-1)},
		{float16, half(0x3c00), "1.0", 1.},
		{float16, half(0xc100), "-2.5", -2.5},
		{float16, half(0x0001), "5.9604645e-08", math.Ldexp(1, -24)},
		{float16, half(0x7bff), "65504.0", 65504.},
		{decimal(2, parquet.Int32Type), parquet.Int32Value(-5), "-0.05", -0.05},
		{decimal(2, parquet.Int64Type), parquet.Int64Value(1234567), "12345.67", 12345.67},
		{decimal(3, parquet.FixedLenByteArrayType(3)), fixed(0xff, 0xff, 0x00), "-0.256", -0.256},
		{decimal(0, parquet.FixedLenByteArrayType(2)), fixed(1, 0), "256", 256.},
		{parquet.Date().Type(), parquet.Int32Value(-1), `"1969-12-31"`, -1.},
		{parquet.Timestamp(parquet.Millisecond).Type(), parquet.Int64Value(1500), `"1970-01-01T00:00:01.5Z"`, 1500.},
		{parquet.TimestampAdjusted(parquet.Nanosecond, false).Type(), parquet.Int64Value(1), `"1970-01-01T00:00:00.000000001"`, 1.},
		{parquet.Time(parquet.Millisecond).Type(), parquet.Int32Value(86399999), `"23:59:59.999"`, 86399999.},
		{parquet.Int96Type, parquet.Int96Value(deprecated.Int96{5, 0, 2440588}), `"1970-01-01T00:00:00.000000005"`, nil},
		{parquet.ByteArrayType, parquet.ByteArrayValue([]byte("é\x00")), `"é\u0000"`, "é\x00"},
		{parquet.ByteArrayType, parquet.ByteArrayValue([]byte{255}), `"/w=="`, "\xff"},
		{parquet.String().Type(), parquet.ByteArrayValue([]byte("<&>\u2028")), "\"<&>\u2028\"", "<&>\u2028"},
	} {
		name := fmt.Sprintf("%v %v", c.typ, c.value)
		exact, err := exactOf(c.typ)(c.value)
		if err != nil || fmt.Sprintf("%s", exact) != c.json {
			t.Errorf("%s is %s in JSON (%v), want %s", name, exact, err, c.json)
		}
		loose, err := decoderOf(c.typ)(c.value)
		if err != nil || c.loose != nil && loose != c.loose {
			t.Errorf("%s is read as %v (%v), want %v", name, loose, err, c.loose)
		}
	}
	for bits, want := range map[uint16]float64{0x7c00: math.Inf(1), 0xfc00: math.Inf(-1), 0x8000: math.Copysign(0, -1), 0x7e00: math.NaN()} {
		got, err := decoderOf(float16)(half(bits))
		if err != nil || math.Float64bits(got.(float64)) != math.Float64bits(want) {
			t.Errorf("float16 %04x is %v, want %v", bits, got, want)
		}
	}
	if _, err := exactOf(parquet.String().Type())(parquet.ByteArrayValue([]byte{255})); err != errNotText {
		t.Errorf("bytes as text: %v", err)
	}
}

func TestColumnTypes(t *testing.T) {
	table, err := OpenTable(writeParquet(t, wides(1), 1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	want := "[{zeta int32} {prompt string} {turns list<list<struct<role: string, content: string>>>} {chosen string} {tags map<string, int64>} " +
		"{rejected string} {when timestamp[us, UTC]} {id uuid} {price decimal(9,2)} {raw binary} {maybe struct<A: bool, B: bool>} {nulls list<float>} {alpha uint8}]"
	if got := fmt.Sprint(table.ColumnTypes()); got != want {
		t.Errorf("types are\n%s\nwant\n%s", got, want)
	}
	if got := leafName(halfType{parquet.FixedLenByteArrayType(2)}); got != "float16" {
		t.Errorf("float16 is called %s", got)
	}
}

// Rows whose columns hold now a string, now a list of messages, or tools as a list and as text, are the same rows in Parquet.
func TestConvertKeepsWhatRowsMean(t *testing.T) {
	from := write(t, "in.jsonl", `{"prompt":[{"role":"user","content":"q"}],"chosen":"c","rejected":"[1]","tools":[{"type":"function","name":"f","z":1.0,"a":12345678901234567890123}]}`+"\n"+
		`{"prompt":"p","chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":null,"tool_calls":[{"z":1.0,"a":{}}]}],"tools":"[{\"name\":\"g\"}]"}`+"\n")
	want := readAll(t, from)
	got := readAll(t, convertTo(t, "out.parquet", from))
	for i := range got {
		got[i].File, got[i].Line, want[i].File, want[i].Line = "", 0, "", 0
	}
	if len(want) != 2 || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
