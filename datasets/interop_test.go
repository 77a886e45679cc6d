package datasets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// interop is testdata/interop/expected.json: files of other writers, and the rows that each holds.
type interop struct {
	Rows  []map[string]any
	Files []struct {
		Writer, Case, File, Codec string
		Columns                   []string
		Rows                      []int // indices in Rows
	}
}

func readInterop(t testing.TB) (dir string, want interop) {
	t.Helper()
	dir = golden.Testdata(t, "interop")
	dec := json.NewDecoder(strings.NewReader(readText(t, filepath.Join(dir, "expected.json"))))
	dec.UseNumber()
	if err := dec.Decode(&want); err != nil {
		t.Fatal(err)
	}
	return dir, want
}

// Files as pyarrow, DuckDB and Polars write them, in each codec and with each encoding they have, give the rows that were
// written: as JSON all columns, as groups those that mean something. Written by us, they hold the same again.
func TestInteropReads(t *testing.T) {
	dir, want := readInterop(t)
	codecs, columns := map[string]map[string]bool{}, map[string]map[string]bool{}
	files := map[string]int{}
	for _, f := range want.Files {
		t.Run(f.Writer+"/"+f.Case, func(t *testing.T) {
			path := filepath.Join(dir, f.File)
			direct := convertTo(t, "direct.jsonl", path)
			compareRows(t, direct, want.Rows, f.Rows, f.Columns)
			ours := convertTo(t, "ours.parquet", path)
			if a, b := readText(t, direct), readText(t, convertTo(t, "again.jsonl", ours)); a != b {
				t.Errorf("written by us the rows are\n%s\nwere\n%s", b, a)
			}
			compareTypes(t, path, ours)
			groups := 0
			files, err := Expand([]string{path})
			if err != nil {
				t.Fatal(err)
			}
			for g, err := range Read(files, Options{}) {
				if err != nil {
					t.Fatal(err)
				}
				row := want.Rows[f.Rows[groups]]
				turns := row["chosen"].([]any)
				if last := g.Completions[0].Messages[0]; last.Content != turns[1].(map[string]any)["content"] || g.Prompt.Messages[0].Content != turns[0].(map[string]any)["content"] {
					t.Errorf("row %d is read as %+v", groups, g)
				}
				groups++
			}
			if groups != len(f.Rows) {
				t.Errorf("%d groups of %d rows", groups, len(f.Rows))
			}
		})
		for _, set := range []map[string]map[string]bool{codecs, columns} {
			if set[f.Writer] == nil {
				set[f.Writer] = map[string]bool{}
			}
		}
		files[f.Writer]++
		codecs[f.Writer][f.Codec] = true
		for _, c := range f.Columns {
			columns[f.Writer][c] = true
		}
	}
	for _, w := range slices.Sorted(maps.Keys(files)) {
		t.Logf("%s: %d files, %d columns, codecs %s", w, files[w], len(columns[w]), strings.Join(slices.Sorted(maps.Keys(codecs[w])), " "))
	}
	if len(want.Files) < 40 || len(files) != 3 {
		t.Errorf("%d files of %d writers: make golden writes more", len(want.Files), len(files))
	}
}

// compareRows reads lines of JSON and compares their numbers by value, and the order of their columns.
func compareRows(t *testing.T, path string, all []map[string]any, rows []int, columns []string) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(readText(t, path)))
	dec.UseNumber()
	for i, row := range rows {
		var got map[string]any
		if err := dec.Decode(&got); err != nil {
			t.Fatalf("row %d of %d: %v", i, len(rows), err)
		}
		if len(got) != len(columns) {
			t.Errorf("row %d has %d columns of %d", i, len(got), len(columns))
		}
		for _, c := range columns {
			if !equalJSON(got[c], all[row][c]) {
				t.Errorf("row %d: column %s is %v, want %v", i, c, got[c], all[row][c])
			}
		}
	}
	if dec.More() {
		t.Error("there are more rows")
	}
}

// equalJSON compares values; of numbers, exactly, but for those that were single or half precision once.
func equalJSON(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		x, ok1 := new(big.Rat).SetString(a.String())
		y, ok2 := new(big.Rat).SetString(b.String())
		return ok && ok1 && ok2 && x.Cmp(y) == 0
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equalJSON)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equalJSON)
	}
	return reflect.DeepEqual(a, b)
}

// compareTypes: a file written by us has the columns of that it is made from, of the same types.
func compareTypes(t *testing.T, from, to string) {
	t.Helper()
	tables := func(path string) *Table {
		all, _, err := OpenTables([]string{path}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeAll(all) })
		return all[0]
	}
	a, b := tables(from), tables(to)
	if !reflect.DeepEqual(a.ColumnTypes(), b.ColumnTypes()) {
		t.Errorf("types are %v, were %v", b.ColumnTypes(), a.ColumnTypes())
	}
	if err := a.Matches(b); err != nil {
		t.Error(err)
	}
}

// Damaged files of other writers give errors, never panics or a full memory: each is cut, and each has bytes changed.
func TestInteropDamaged(t *testing.T) {
	dir, want := readInterop(t)
	for i, f := range want.Files {
		if !strings.HasSuffix(f.File, ".parquet") {
			continue
		}
		whole := []byte(readText(t, filepath.Join(dir, f.File)))
		if _, err := tryAll(write(t, "cut.parquet", string(whole[:len(whole)-len(whole)/3]))); err == nil {
			t.Errorf("%s: two thirds of it were read", f.File)
		}
		for k := range 8 {
			changed := bytes.Clone(whole)
			changed[(k*7919+i*104729)%len(whole)] ^= 0xff
			path := write(t, fmt.Sprint(k, ".parquet"), string(changed))
			tryAll(path)
			for range Convert([]string{path}, filepath.Join(t.TempDir(), "x.jsonl"), false) {
			}
		}
	}
}

// A wrong byte in a page of LZ4 is found before the library would fill the memory with it.
func TestInteropDamagedLZ4(t *testing.T) {
	dir, _ := readInterop(t)
	refused := 0
	for _, name := range []string{"pyarrow-lz4.parquet", "duckdb-lz4_raw.parquet", "polars-lz4.parquet"} {
		whole := []byte(readText(t, filepath.Join(dir, name)))
		for at := 4; at < 400; at += 3 {
			changed := bytes.Clone(whole)
			changed[at] ^= 0xff
			if _, err := tryAll(write(t, "x.parquet", string(changed))); err != nil && strings.Contains(err.Error(), ": page ") {
				refused++
			}
		}
	}
	t.Logf("%d of 396 files refused by their pages", refused)
	if refused < 100 {
		t.Errorf("only %d of 396 damaged files are refused by their pages", refused)
	}
}

// What we write, with columns added to whatever others wrote, pyarrow, DuckDB and Polars read with the values and types of the
// file it was made from.
func TestTableReadByOthers(t *testing.T) {
	python := golden.Python(t, "pyarrow", "duckdb", "polars")
	dir, want := readInterop(t)
	var names []string
	for _, c := range scoreColumns {
		names = append(names, c.Name)
	}
	var cases bytes.Buffer
	add := func(from string, rows int) {
		to := filepath.Join(t.TempDir(), "ours.parquet")
		score(t, from, to, TableOptions{RowGroup: 5})
		added := make([][]any, rows)
		for i := range added {
			added[i] = scores(int64(i))
		}
		if err := json.NewEncoder(&cases).Encode(map[string]any{"from": from, "to": to, "names": names, "added": added}); err != nil {
			t.Fatal(err)
		}
	}
	add(writeParquet(t, wides(40), 16), 40)
	for _, f := range want.Files {
		if strings.HasSuffix(f.File, ".parquet") {
			add(filepath.Join(dir, f.File), len(f.Rows))
		}
	}
	cmd := exec.Command(python, "testdata/read_by_others.py")
	cmd.Stdin, cmd.Stderr = &cases, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	files, columns := map[string]int{}, map[string]int{}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var r struct {
			Reader, File, Unread string
			Columns              int
			Problems             []string
		}
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if r.Unread != "" {
			t.Logf("%s cannot read %s itself: %s", r.Reader, filepath.Base(r.File), r.Unread)
			continue
		}
		for _, p := range r.Problems {
			t.Errorf("%s, made from %s: %s", r.Reader, filepath.Base(r.File), p)
		}
		files[r.Reader]++
		columns[r.Reader] += r.Columns
	}
	for _, r := range []string{"pyarrow", "duckdb", "polars"} {
		t.Logf("%s read %d files of ours, %d columns", r, files[r], columns[r])
		if files[r] < 40 {
			t.Errorf("%s read %d files: 40 are there at least", r, files[r])
		}
	}
}
