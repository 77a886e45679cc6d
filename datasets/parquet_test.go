package datasets

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

type message struct {
	Role    string `parquet:"role"`
	Content string `parquet:"content"`
}

// chat is a row as preference sets on the Hugging Face hub have them.
type chat struct {
	Prompt   string    `parquet:"prompt"`
	Chosen   []message `parquet:"chosen,list"`
	Rejected []message `parquet:"rejected,list"`
	Margin   *float32  `parquet:"margin,optional"`
	Source   string    `parquet:"source,dict"`
}

// writeParquet writes rows in groups of a size, and returns the file's name.
func writeParquet[T any](t testing.TB, rows []T, group int, options ...parquet.WriterOption) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := parquet.NewGenericWriter[T](f, options...)
	for part := range slices.Chunk(rows, group) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func chats(n int) []chat {
	rows := make([]chat, n)
	for i := range rows {
		margin := float32(i) / 2
		user := message{"user", strings.Repeat("q", i%7)}
		rows[i] = chat{
			Chosen:   []message{user, {"assistant", "good " + string(rune('a'+i%26))}},
			Rejected: []message{user, {"assistant", "bad"}},
			Source:   "test",
		}
		if i%3 > 0 {
			rows[i].Margin = &margin
		}
	}
	return rows
}

func TestParquetReadsMessagesAndNulls(t *testing.T) {
	want := chats(25)
	groups := readAll(t, writeParquet(t, want, 10))
	if len(groups) != len(want) {
		t.Fatalf("read %d groups of %d", len(groups), len(want))
	}
	for i, g := range groups {
		if g.Row != int64(i) {
			t.Errorf("group %d has row %d", i, g.Row)
		}
		w := want[i]
		if g.Prompt.Messages[0] != turnOf(w.Chosen[0]) || g.Completions[0].Messages[0] != turnOf(w.Chosen[1]) || g.Completions[1].Messages[0] != turnOf(w.Rejected[1]) {
			t.Errorf("row %d: %+v of %+v", i, g, w)
		}
		margin := 0.0
		if w.Margin != nil {
			margin = float64(*w.Margin)
		}
		if g.Margin != margin {
			t.Errorf("row %d: margin %v, want %v", i, g.Margin, margin)
		}
	}
}

type rankedRow struct {
	Prompt    string    `parquet:"prompt"`
	Responses []string  `parquet:"responses"` // repeated, with no list around: the oldest way
	Scores    []float64 `parquet:"scores,list"`
	Ranks     []int32   `parquet:"ranks,list"`
	Ref       []float64 `parquet:"ref_logps,list"`
}

func TestParquetReadsLists(t *testing.T) {
	rows := []rankedRow{
		{"p", []string{"a", "b", "c"}, []float64{1, 3, 2}, []int32{3, 1, 2}, []float64{-1, -3, -2}},
		{"q", []string{"x", "y"}, []float64{2, 1}, []int32{1, 2}, []float64{-1, -2}},
	}
	groups := readAll(t, writeParquet(t, rows, 5))
	if got := answers(groups[0]); !slices.Equal(got, []string{"b", "c", "a"}) {
		t.Errorf("best first: %v", got)
	}
	if !slices.Equal(groups[0].Ref, []float64{-3, -2, -1}) || !slices.Equal(groups[0].Order, []int{1, 2, 0}) {
		t.Errorf("ref %v, order %v", groups[0].Ref, groups[0].Order)
	}
	if groups[1].Order != nil || !slices.Equal(groups[1].Ranks, []float64{1, 2}) {
		t.Errorf("a row in order: %+v", groups[1])
	}
}

// Every beginning of a file is refused with an error that says so, and so is every file with a byte changed, or read as well as it can be.
func TestParquetDamaged(t *testing.T) {
	path := writeParquet(t, chats(12), 6)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged.parquet")
	for n := 0; n < len(whole); n += 7 {
		if err := os.WriteFile(damaged, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := tryAll(damaged)
		if err == nil {
			t.Fatalf("the first %d of %d bytes were read", n, len(whole))
		}
		if !strings.Contains(err.Error(), damaged) || !strings.Contains(err.Error(), "Parquet") {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 0xff
		if err := os.WriteFile(damaged, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		tryAll(damaged)
		if table, err := OpenTable(damaged, Options{}); err == nil {
			for range table.Rows(0) {
			}
			table.Close()
		}
	}
}

func TestParquetRefusals(t *testing.T) {
	dir := t.TempDir()
	whole, err := os.ReadFile(writeParquet(t, chats(3), 3))
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(long[len(long)-8:], 1<<31)
	type question struct {
		Question string `parquet:"question"`
		Chosen   string `parquet:"chosen"`
	}
	half := writeParquet(t, []question{{"a", "b"}}, 1)
	number := writeParquet(t, []struct {
		Prompt   string `parquet:"prompt"`
		Chosen   int64  `parquet:"chosen"`
		Rejected int64  `parquet:"rejected"`
	}{{"a", 1, 2}}, 1)
	for _, c := range []struct{ name, path, data, want string }{
		{"text", filepath.Join(dir, "a.parquet"), "prompt,chosen,rejected\n", "does not start with PAR1"},
		{"empty", filepath.Join(dir, "b.parquet"), "", "does not start with PAR1"},
		{"encrypted", filepath.Join(dir, "c.parquet"), "PARE and so on", "encrypted"},
		{"footer too long", filepath.Join(dir, "d.parquet"), string(long), "no whole Parquet file"},
		{"cut in half", filepath.Join(dir, "e.parquet"), string(whole[:len(whole)/2]), "no whole Parquet file"},
		{"a missing column", half, "", "no column rejected: the columns are question, chosen; needed are those of a layout:\n  conversations (messages)\n  pairs"},
		{"a column of numbers", number, "", "row 0: column chosen: it holds a number: a string, or a list of {role, content} messages"},
	} {
		if c.data != "" || strings.HasSuffix(c.path, "b.parquet") {
			if err := os.WriteFile(c.path, []byte(c.data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := tryAll(c.path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), filepath.Base(c.path)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func turnOf(m message) Message { return Message{Role: m.Role, Content: m.Content} }
