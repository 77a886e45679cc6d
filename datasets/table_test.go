package datasets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// wide is a row with columns of all the kinds there are, in no order.
type wide struct {
	Zeta     int32                 `parquet:"zeta"`
	Prompt   string                `parquet:"prompt"`
	Turns    [][]message           `parquet:"turns,list"`
	Chosen   string                `parquet:"chosen,optional"`
	Tags     map[string]int64      `parquet:"tags"`
	Rejected string                `parquet:"rejected,dict,snappy"`
	When     time.Time             `parquet:"when,timestamp(microsecond)"`
	ID       [16]byte              `parquet:"id,uuid"`
	Price    int64                 `parquet:"price,decimal(2:9)"`
	Raw      []byte                `parquet:"raw,optional"`
	Maybe    *struct{ A, B *bool } `parquet:"maybe,optional"`
	Nulls    []*float32            `parquet:"nulls,list"`
	Alpha    uint8                 `parquet:"alpha"`
}

func wides(n int) []wide {
	yes := true
	half := float32(0.5)
	rows := make([]wide, n)
	for i := range rows {
		rows[i] = wide{
			Zeta: int32(-i), Prompt: fmt.Sprint("prompt ", i), Chosen: "good", Rejected: "bad",
			When: time.UnixMicro(1_700_000_000_000_000 + int64(i)).UTC(), ID: [16]byte{15: byte(i)}, Price: int64(i * 100), Alpha: uint8(i),
			Turns: [][]message{}, Nulls: []*float32{}, Tags: map[string]int64{},
		}
		if i%2 == 1 {
			rows[i].Tags[fmt.Sprint("tag", i)] = int64(i)
			rows[i].Turns = [][]message{{}, {{"user", "x"}, {"assistant", "y"}}}
			rows[i].Maybe = &struct{ A, B *bool }{A: &yes}
			rows[i].Nulls = []*float32{nil, &half, nil}
		}
		if i%3 == 1 {
			rows[i].Raw = []byte{0, 255, byte(i)}
		}
	}
	return rows
}

var scoreColumns = []Column{
	{"logps", Float64Column}, {"tokens", Int64Column}, {"truncated", BoolColumn}, {"error", StringColumn},
	{"rewards", Float64sColumn}, {"counts", Int64sColumn},
}

// scores are values for scoreColumns.
func scores(row int64) []any {
	switch row % 3 {
	case 0:
		return []any{nil, nil, nil, nil, nil, nil}
	case 1:
		return []any{-0.5 * float64(row), int(row), true, "no prompt", []float64{}, []int{}}
	}
	return []any{1e-300, row, false, "", []float64{1, -2, 3}, []int64{row, 7}}
}

// score copies a table with columns added.
func score(t testing.TB, from, to string, o TableOptions) {
	t.Helper()
	table, err := OpenTable(from, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	w, err := CreateTable(to, table, scoreColumns, o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for row, err := range table.Rows(0) {
		if err == nil {
			err = w.Write(row, scores(row.Group.Row)...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// readBack reads all columns of a Parquet file: their values, row by row, and the schema.
func readBack(t testing.TB, path string) (rows []map[string]any, f *parquetFile) {
	t.Helper()
	f, err := openParquet(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, name := range f.names {
		want[name] = true
	}
	f.Close()
	for rec, err := range (parquetFormat{}).records(path, func([]string) map[string]bool { return want }) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, rec.values)
	}
	return rows, f
}

func TestTableKeepsParquet(t *testing.T) {
	from := writeParquet(t, wides(50), 20, parquet.KeyValueMetadata("owner", "us"), parquet.KeyValueMetadata("ARROW:schema", "stale"))
	to := filepath.Join(t.TempDir(), "scored.parquet")
	score(t, from, to, TableOptions{RowGroup: 16, Metadata: map[string]string{"digest": "abc"}})

	before, in := readBack(t, from)
	after, out := readBack(t, to)
	if len(after) != len(before) {
		t.Fatalf("%d rows of %d", len(after), len(before))
	}
	for i, row := range after {
		want := scores(int64(i))
		for k, c := range scoreColumns {
			if got := row[c.Name]; !reflect.DeepEqual(got, loose(want[k])) {
				t.Errorf("row %d: column %s is %v, want %v", i, c.Name, got, want[k])
			}
			delete(row, c.Name)
		}
		if !reflect.DeepEqual(row, before[i]) {
			t.Errorf("row %d is %v, was %v", i, row, before[i])
		}
	}
	names := slices.Clone(in.names)
	for _, c := range scoreColumns {
		names = append(names, c.Name)
	}
	if !slices.Equal(out.names, names) {
		t.Errorf("columns %v, want %v", out.names, names)
	}
	for i, c := range in.Root().Columns() {
		got := out.Root().Columns()[i]
		if strings.TrimPrefix(got.String(), "schema.") != strings.TrimPrefix(c.String(), "wide.") || got.ID() != c.ID() {
			t.Errorf("column is %v, was %v", got, c)
		}
	}
	var groups []int64
	for _, g := range out.RowGroups() {
		groups = append(groups, g.NumRows())
	}
	if !slices.Equal(groups, []int64{16, 16, 16, 2}) {
		t.Errorf("row groups of %v", groups)
	}
	table, err := OpenTable(to, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if got, want := table.Metadata(), map[string]string{"owner": "us", "digest": "abc"}; !reflect.DeepEqual(got, want) {
		t.Errorf("metadata %v, want %v", got, want)
	}
	if table.NumRows() != 50 {
		t.Errorf("%d rows", table.NumRows())
	}
}

// loose is a value as records have it.
func loose(v any) any {
	switch v := v.(type) {
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case nil, float64, bool, string:
		return v
	}
	list := []any{}
	items := reflect.ValueOf(v)
	for i := range items.Len() {
		list = append(list, loose(items.Index(i).Interface()))
	}
	return list
}

func TestTableRowsAreGroups(t *testing.T) {
	path := writeParquet(t, wides(50), 20)
	table, err := OpenTable(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for first := range int64(52) {
		next := first
		for row, err := range table.Rows(first) {
			if err != nil || row.Err != nil || row.Group.Row != next || row.Group.Prompt.String != fmt.Sprint("prompt ", next) {
				t.Fatalf("from %d: row %d: %+v, %v", first, next, row, err)
			}
			next++
		}
		if next != max(first, 50) {
			t.Fatalf("from %d: ended at %d", first, next)
		}
	}
}

func TestTableKeepsRowsThatAreNoGroups(t *testing.T) {
	from := write(t, "x.jsonl", `{"prompt":"p","chosen":"c","rejected":"r"}`+"\n"+`{"prompt":"p","chosen":null,"rejected":"r"}`+"\n"+`{"prompt":"p"}`+"\n")
	table, err := OpenTable(from, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var bad []string
	for row, err := range table.Rows(0) {
		if err != nil {
			t.Fatal(err)
		}
		bad = append(bad, fmt.Sprint(row.Err))
	}
	if bad[0] != "<nil>" || !strings.Contains(bad[1], "x.jsonl:2: column chosen: it holds null") || !strings.Contains(bad[2], "x.jsonl:3: no answers") {
		t.Errorf("%q", bad)
	}
}

// Each column of JSON gets the narrowest type for all its values.
func TestTableOfJSON(t *testing.T) {
	answers := `"prompt":"p","chosen":"c","rejected":"r"`
	for _, c := range []struct {
		name   string
		values []string // "" is a row without the column
		schema string
		want   []any
	}{
		{"strings", []string{`"a"`, `null`, ``, `"\u00e9"`}, "optional binary x (STRING)", []any{"a", nil, nil, "é"}},
		{"bools", []string{`true`, `false`, `null`}, "optional boolean x", []any{true, false, nil}},
		{"integers", []string{`1`, `-9007199254740992`}, "optional int64 x", []any{1., -9007199254740992.}},
		{"numbers", []string{`1`, `2.5`, `1e3`}, "optional double x", []any{1., 2.5, 1000.}},
		{"integers beyond 64 bits", []string{`1`, `18446744073709551616`}, "optional double x", []any{1., 18446744073709551616.}},
		{"numbers beyond float64", []string{`1`, `1e999`}, "optional binary x (JSON)", []any{1., "1e999"}},
		{"nothing", []string{`null`, ``}, "optional binary x (STRING)", []any{nil, nil}},
		{"lists", []string{`[1, 2]`, `[]`, `null`, `[null, 3.5]`}, "optional group x (LIST) {\n\t\trepeated group list {\n\t\t\toptional double element;",
			[]any{[]any{1., 2.}, []any{}, nil, []any{nil, 3.5}}},
		{"lists of lists", []string{`[[1], [], [2, 3]]`, `[]`, `[null]`}, "optional int64 element",
			[]any{[]any{[]any{1.}, []any{}, []any{2., 3.}}, []any{}, []any{nil}}},
		{"objects", []string{`{"b":1,"a":"x"}`, `{"a":"y","c":[true]}`, `null`}, "optional group x {\n\t\toptional int64 b (INT(64,true));\n\t\toptional binary a (STRING);\n\t\toptional group c (LIST)",
			[]any{map[string]any{"b": 1., "a": "x", "c": nil}, map[string]any{"b": nil, "a": "y", "c": []any{true}}, nil}},
		{"lists of objects", []string{`[{"role":"user","content":"q"},{"role":"assistant"}]`, `[]`}, "optional binary role (STRING)",
			[]any{[]any{map[string]any{"role": "user", "content": "q"}, map[string]any{"role": "assistant", "content": nil}}, []any{}}},
		{"several kinds", []string{`"a"`, `7`, `{"k": [1, 2]}`, `null`}, "optional binary x (JSON)", []any{"a", 7., map[string]any{"k": []any{1., 2.}}, nil}},
		{"several kinds inside", []string{`[1, "a"]`, `[true]`}, "optional binary element (JSON)", []any{[]any{1., "a"}, []any{true}}},
		{"an empty object", []string{`{}`, `{"a":1}`}, "optional binary x (JSON)", []any{map[string]any{}, map[string]any{"a": 1.}}},
		{"a field without a name", []string{`{"":1}`}, "optional binary x (JSON)", []any{map[string]any{"": 1.}}},
		{"objects that are maps", []string{manyFields(300)}, "optional binary x (JSON)", nil},
		{"deep lists", []string{strings.Repeat("[", 40) + strings.Repeat("]", 40)}, "optional binary element (JSON)", nil},
	} {
		var text strings.Builder
		for _, v := range c.values {
			if v == "" {
				fmt.Fprintf(&text, "{%s}\n", answers)
			} else {
				fmt.Fprintf(&text, "{\"x\":%s,%s}\n", v, answers)
			}
		}
		to := filepath.Join(t.TempDir(), "out.parquet")
		score(t, write(t, "in.jsonl", text.String()), to, TableOptions{})
		rows, f := readBack(t, to)
		if got := f.Schema().String(); !strings.Contains(got, c.schema) {
			t.Errorf("%s: schema %s, want %s", c.name, got, c.schema)
		}
		for i, want := range c.want {
			if got := rows[i]["x"]; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: row %d: %v, want %v", c.name, i, got, want)
			}
		}
		if f.names[0] != "x" || len(rows) != len(c.values) || rows[0]["rejected"] != "r" {
			t.Errorf("%s: columns %v, %d rows", c.name, f.names, len(rows))
		}
	}
}

func manyFields(n int) string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf(`"f%03d":%d`, i, i)
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func TestTableIsTheSameEachTime(t *testing.T) {
	from := writeParquet(t, wides(200), 30)
	dir := t.TempDir()
	var files [][]byte
	for i := range 3 {
		to := filepath.Join(dir, fmt.Sprint(i, ".parquet"))
		score(t, from, to, TableOptions{RowGroup: 64, Metadata: map[string]string{"b": "1", "a": "2", "c": "3"}})
		data, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	if !bytes.Equal(files[0], files[1]) || !bytes.Equal(files[0], files[2]) {
		t.Error("equal rows gave files that differ")
	}
}

func TestTableColumnThatIsThere(t *testing.T) {
	once, twice := filepath.Join(t.TempDir(), "once.parquet"), filepath.Join(t.TempDir(), "twice.parquet")
	score(t, writeParquet(t, wides(5), 5), once, TableOptions{})
	table, err := OpenTable(once, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if _, err := CreateTable(twice, table, scoreColumns, TableOptions{}); err == nil || !strings.Contains(err.Error(), "has the columns logps, tokens, truncated, error, rewards, counts already") {
		t.Fatalf("columns that are there: %v", err)
	}
	score(t, once, twice, TableOptions{Overwrite: true})
	a, f := readBack(t, once)
	b, g := readBack(t, twice)
	if !reflect.DeepEqual(a, b) || !slices.Equal(f.names, g.names) {
		t.Errorf("%v\n%v", a, b)
	}
	if _, err := CreateTable(twice, table, []Column{{"a", Float64Column}, {"a", Float64Column}}, TableOptions{}); err == nil || !strings.Contains(err.Error(), "added twice") {
		t.Errorf("a column added twice: %v", err)
	}
	if _, err := CreateTable(twice, table, []Column{{"a", "float"}}, TableOptions{}); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("an unknown type: %v", err)
	}
}

func TestTableAppearsAtOnce(t *testing.T) {
	dir := t.TempDir()
	to := filepath.Join(dir, "out.parquet")
	if err := os.WriteFile(to, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := OpenTable(writeParquet(t, wides(5), 5), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	w, err := CreateTable(to, table, []Column{{"a", Float64Column}}, TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for row, err := range table.Rows(0) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(row, "text"); err == nil || !strings.Contains(err.Error(), "column a of type double is given a string") {
			t.Fatalf("a value of another type: %v", err)
		}
		if err := w.Write(row); err == nil || !strings.Contains(err.Error(), "0 values for 1 added columns") {
			t.Fatalf("a value too few: %v", err)
		}
		if err := w.Write(row, 1.0); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Row{}, 1.0); err == nil {
		t.Error("written to after the end")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
	if data, err := os.ReadFile(to); err != nil || string(data) != "before" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := CreateTable(filepath.Join(dir, "no folder", "x.parquet"), table, nil, TableOptions{}); err == nil {
		t.Error("written where there is no folder")
	}
}

func TestOpenTableRefusals(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"a.jsonl", `{"body":"a"}`, "no answers: the columns are body; needed are"},
		{"a.jsonl", `{"prompt":"a","chosen":"b"}`, "no column rejected"},
		{"a.jsonl", "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}\n{\"prompt\"", "a.jsonl:2: not JSON: it ends in the middle"},
		{"a.jsonl", "", "the file has no rows"},
		{"a.jsonl", `{"":1,"prompt":"a","completion":"b"}`, "a column has no name"},
		{"a.json", "[{]", "row 0: not JSON"},
		{"a.csv", "", "no reader"},
		{"a.parquet", "PAR1", "no whole Parquet file"},
	} {
		if _, err := OpenTable(write(t, c.file, c.text), Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}

// The judge of whether the files are what others read is the reference implementation.
func TestTableReadByPyArrow(t *testing.T) {
	python := golden.Python(t, "pyarrow", "duckdb", "polars")
	read := func(path string) map[string]any {
		out, err := exec.Command(python, "-c", `
import sys, json, pyarrow.parquet as pq
f = pq.ParquetFile(sys.argv[1])
t = f.read()
print(json.dumps({"schema": [[c.name, str(c.type), c.nullable] for c in t.schema], "rows": t.to_pylist(), "meta": {k.decode(): v.decode() for k, v in (f.metadata.metadata or {}).items()},
  "codec": f.metadata.row_group(0).column(0).compression}, default=str))`, path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var all map[string]any
		if err := json.Unmarshal(out, &all); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return all
	}
	lines := write(t, "in.jsonl", `{"prompt":"p","chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}],"n":1,"m":[[1.5],[]]}`+"\n")
	for name, from := range map[string]string{"parquet": writeParquet(t, wides(10), 4), "jsonl": lines} {
		to := filepath.Join(t.TempDir(), "out.parquet")
		score(t, from, to, TableOptions{Metadata: map[string]string{"digest": "abc"}})
		after := read(to)
		if after["codec"] != "ZSTD" || after["meta"].(map[string]any)["digest"] != "abc" {
			t.Errorf("%s: compressed with %v, metadata %v", name, after["codec"], after["meta"])
		}
		schema := after["schema"].([]any)
		kept := schema[:len(schema)-len(scoreColumns)]
		if got, want := fmt.Sprint(schema[len(kept):]), "[[logps double true] [tokens int64 true] [truncated bool true] [error string true] [rewards list<element: double> true] [counts list<element: int64> true]]"; got != want {
			t.Errorf("%s: added %s, want %s", name, got, want)
		}
		rows := after["rows"].([]any)
		for i, row := range rows {
			for k, c := range scoreColumns {
				if got, want := row.(map[string]any)[c.Name], loose(scores(int64(i))[k]); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: row %d: column %s is %v, want %v", name, i, c.Name, got, want)
				}
				delete(row.(map[string]any), c.Name)
			}
		}
		if name == "jsonl" {
			if got, want := fmt.Sprint(kept, rows), "[[prompt string true] [chosen list<element: struct<role: string, content: string>> true] [rejected list<element: struct<role: string, content: string>> true] [n int64 true] [m list<element: "+"list<element: double>> true]] "+
				"[map[chosen:[map[content:c role:assistant]] m:[[1.5] []] n:1 prompt:p rejected:[map[content:r role:assistant]]]]"; got != want {
				t.Errorf("jsonl: %s, want %s", got, want)
			}
			continue
		}
		before := read(from)
		if !reflect.DeepEqual(any(kept), before["schema"]) || !reflect.DeepEqual(rows, before["rows"]) {
			t.Errorf("kept %v\n%v\nof %v\n%v", kept, rows, before["schema"], before["rows"])
		}
	}
}
