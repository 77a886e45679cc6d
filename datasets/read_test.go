package datasets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readAll reads the groups of a file that is to have no bad row.
func readAll(t testing.TB, path string) []Group {
	t.Helper()
	groups, err := tryAll(path)
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

// tryAll reads the groups of a file until the first error.
func tryAll(path string) (groups []Group, err error) {
	for g, err := range Read([]string{path}, Options{}) {
		if err != nil {
			return groups, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// write puts text in a file of a fresh folder.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func answers(g Group) []string {
	var texts []string
	for _, c := range g.Completions {
		texts = append(texts, fullText(c))
	}
	return texts
}

func fullText(t Text) string {
	s := t.String
	for _, m := range t.Messages {
		s += "[" + m.Role + ":" + m.Content + "]"
	}
	return s
}

// One row of each kind, as it is read: prompt, then answers, best first.
func TestGroups(t *testing.T) {
	for _, c := range []struct{ name, row, want string }{
		{"a pair", `{"prompt":"p","chosen":"c","rejected":"r"}`, "p|c|r"},
		{"columns we do not know", `{"id":7,"prompt":"p","chosen":"c","rejected":"r","x":{"y":[1]}}`, "p|c|r"},
		{"an implicit prompt", `{"chosen":"the same. Good","rejected":"the same. Bad"}`, "the same.| Good| Bad"},
		{"an implicit prompt that ends in a word", `{"chosen":"abcX","rejected":"abcY"}`, "abc|X|Y"},
		{"one answer begins with the other", `{"chosen":"abc","rejected":"abcdef"}`, "ab|c|cdef"},
		{"no common beginning", `{"chosen":"x","rejected":"y"}`, "|x|y"},
		{"messages", `{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}`,
			"[user:p]|[assistant:c]|[assistant:r]"},
		{"whole conversations", `{"chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}`,
			"[user:p]|[assistant:c]|[assistant:r]"},
		{"whole conversations beside the prompt as a string", `{"prompt":"p","chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}`,
			"[user:p]|[assistant:c]|[assistant:r]"},
		{"a string prompt before messages", `{"prompt":"p","chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}`,
			"[user:p]|[assistant:c]|[assistant:r]"},
		{"string answers after messages", `{"prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`, "[user:p]|[assistant:c]|[assistant:r]"},
		{"content in parts", `{"prompt":"p","chosen":[{"role":"assistant","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]}],"rejected":[{"role":"assistant","content":null}]}`,
			"[user:p]|[assistant:cd]|[assistant:]"},
		{"scores", `{"prompt":"p","responses":["a","b","c"],"scores":[1,3,2]}`, "p|b|c|a"},
		{"ranks", `{"prompt":"p","completions":["a","b","c"],"ranks":[2,1,3]}`, "p|b|a|c"},
		{"ranks count before scores", `{"prompt":"p","completions":["a","b"],"ranks":[2,1],"scores":[9,1]}`, "p|b|a"},
		{"ties keep their order", `{"prompt":"p","completions":["a","b","c"],"scores":[1,2,1]}`, "p|b|a|c"},
		{"ranked messages", `{"prompt":"p","completions":[[{"role":"assistant","content":"a"}],"b"],"ranks":[1,2]}`, "[user:p]|[assistant:a]|[assistant:b]"},
		{"one answer", `{"prompt":"p","completion":"c"}`, "p|c"},
		{"one answer to nothing", `{"prompt":null,"completion":"c"}`, "|c"},
		{"a text", `{"id":7,"text":"c"}`, "|c"},
		{"an answer beside a text", `{"prompt":"p","text":"t","completion":"c"}`, "p|c"},
		{"escapes", `{"prompt":"\u00e9\n","chosen":"\ud83d\ude00","rejected":"r"}`, "é\n|😀|r"},
	} {
		for _, file := range []string{write(t, "a.jsonl", c.row+"\n"), write(t, "a.json", "["+c.row+"]")} {
			groups, err := tryAll(file)
			if err != nil || len(groups) != 1 {
				t.Errorf("%s: %v, %v", c.name, groups, err)
				continue
			}
			g := groups[0]
			if got := strings.Join(append([]string{fullText(g.Prompt)}, answers(g)...), "|"); got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
	}
}

func TestGroupNumbers(t *testing.T) {
	g := readAll(t, write(t, "a.jsonl", `{"prompt":"p","chosen":"c","rejected":"r","margin":1.5,"ref_chosen_logps":-2,"ref_rejected_logps":-3,"chosen_finish_reason":"stop","rejected_finish_reason":"length"}`))[0]
	if g.Margin != 1.5 || !slices.Equal(g.Ref, []float64{-2, -3}) || !slices.Equal(g.Cut, []bool{false, true}) {
		t.Errorf("%+v", g)
	}
	g = readAll(t, write(t, "a.jsonl", `{"prompt":"p","responses":["a","b"],"scores":[1,2],"finish_reasons":["length","stop"],"margin":null}`))[0]
	if !slices.Equal(g.Cut, []bool{false, true}) || !slices.Equal(g.Scores, []float64{2, 1}) {
		t.Errorf("%+v", g)
	}
}

func TestColumnNames(t *testing.T) {
	path := write(t, "a.jsonl", `{"question":"p","chosen":"c","rejected":"r"}`)
	for g, err := range Read([]string{path}, Options{Columns: map[string]string{"prompt": "question"}}) {
		if err != nil || g.Prompt.String != "p" {
			t.Errorf("%+v, %v", g, err)
		}
	}
	for _, err := range Read([]string{path}, Options{Columns: map[string]string{"promt": "question"}}) {
		if err == nil || !strings.Contains(err.Error(), `mapping column "question" to "promt"`) {
			t.Errorf("a name that is not ours: %v", err)
		}
	}
}

// A bad row is named with its file and line, and reading goes on after it.
func TestBadRows(t *testing.T) {
	good := `{"prompt":"p","chosen":"c","rejected":"r"}`
	for _, c := range []struct{ name, line, want string }{
		{"no JSON", `{"prompt": what}`, "not JSON: invalid character 'w'"},
		{"cut", `{"prompt":"p","cho`, "not JSON: it ends in the middle"},
		{"not UTF-8", "{\"prompt\":\"caf\xe9\",\"chosen\":\"c\",\"rejected\":\"r\"}", "not valid UTF-8"},
		{"two objects", good + good, "something follows the object"},
		{"a list", `[1]`, "not a JSON object"},
		{"a missing column", `{"prompt":"p","chosen":"c"}`, "no column rejected: the columns are prompt, chosen"},
		{"no column", `{}`, "no answers"},
		{"null", `{"prompt":"p","chosen":null,"rejected":"r"}`, "column chosen: it holds null: a string, or a list of {role, content} messages, is needed"},
		{"both wrong", `{"prompt":"p","chosen":1,"rejected":{"a":1}}`, "column rejected: it holds an object with a"},
		{"a message without a role", `{"prompt":"p","chosen":[{"content":"c"}],"rejected":"r"}`, "message 0: it is an object with content: role and content are needed"},
		{"a role in numbers", `{"prompt":"p","chosen":[{"role":1,"content":"c"}],"rejected":"r"}`, "column chosen: message 0: its role is a number: a string is needed, such as user or assistant"},
		{"an image", `{"prompt":"p","chosen":[{"role":"assistant","content":[{"type":"image"}]}],"rejected":"r"}`, "only parts {type: text, text: ...} can be read"},
		{"two kinds", `{"prompt":"p","chosen":[{"role":"assistant","content":"c"}],"rejected":"r"}`, "of two kinds"},
		{"a margin in words", `{"prompt":"p","chosen":"c","rejected":"r","margin":"much"}`, "column margin holds a string: a number is needed"},
		{"a number too large", `{"prompt":"p","chosen":"c","rejected":"r","margin":1e999}`, "column margin"},
		{"too few scores", `{"prompt":"p","responses":["a","b"],"scores":[1]}`, "column scores has 1 entries for 2 answers"},
		{"no scores", `{"prompt":"p","responses":["a","b"],"scores":null}`, "columns ranks and scores are null"},
		{"no score column", `{"prompt":"p","responses":["a","b"]}`, "no column ranks or scores beside responses"},
		{"a text with a prompt", `{"prompt":"p","text":"c"}`, "column prompt stands beside those of the layout texts (text)"},
		{"no prompt column", `{"completion":"c"}`, "no column prompt"},
		{"no list", `{"prompt":"p","responses":"a","scores":[1]}`, "column responses holds a string: a list of answers is needed"},
		{"no answers", `{"prompt":"p","responses":[],"scores":[]}`, "an empty list: a list of answers is needed"},
	} {
		path := write(t, "x.jsonl", good+"\n\n"+c.line+"\n"+good+"\n")
		var rows []int64
		var bad []*RowError
		for g, err := range Read([]string{path}, Options{}) {
			var e *RowError
			switch {
			case errors.As(err, &e):
				bad = append(bad, e)
			case err != nil:
				t.Errorf("%s: no row error: %v", c.name, err)
			default:
				rows = append(rows, g.Row)
			}
		}
		if len(bad) != 1 || bad[0].Row != 1 || bad[0].Line != 3 || !strings.Contains(bad[0].Error(), c.want) || !strings.HasPrefix(bad[0].Error(), path+":3: ") {
			t.Errorf("%s: %v, want %q", c.name, bad, c.want)
		}
		if !slices.Equal(rows, []int64{0, 2}) {
			t.Errorf("%s: good rows are %v", c.name, rows)
		}
	}
}

func TestFirstRowWithoutColumnsEndsTheFile(t *testing.T) {
	path := write(t, "x.jsonl", "{\"body\":\"a\"}\n{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"}\n")
	n := 0
	for _, err := range Read([]string{path}, Options{}) {
		n++
		var row *RowError
		if err == nil || errors.As(err, &row) || !strings.Contains(err.Error(), "no answers: the columns are body; needed are") {
			t.Errorf("%v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d results", n)
	}
}

func TestJSONFiles(t *testing.T) {
	row := `{"prompt":"p","chosen":"c","rejected":"r"}`
	for _, c := range []struct {
		name, file, text string
		groups           int
		want             string // of the error
	}{
		{"lines", "a.jsonl", row + "\n" + row, 2, ""},
		{"lines with a mark, and those of Windows", "a.ndjson", "\ufeff" + row + "\r\n" + row + "\r\n", 2, ""},
		{"an array", "a.json", "[" + row + ",\n" + row + "]\n", 2, ""},
		{"an array with a mark", "a.json", "\ufeff [" + row + "]", 1, ""},
		{"lines named .json", "a.json", row + "\n" + row + "\n", 2, ""},
		{"no lines", "a.jsonl", "\n \n", 0, ""},
		{"an empty array", "a.json", "[]", 0, ""},
		{"nothing", "a.json", "", 0, "the file is empty"},
		{"a number", "a.json", "7", 0, "not a JSON array of objects, nor JSON Lines"},
		{"an array that is cut", "a.json", "[" + row + ",", 1, "it ends in the middle"},
		{"an array cut in a row", "a.json", "[" + row + "," + row[:20], 1, "row 1: not JSON: it ends in the middle"},
		{"an array of numbers", "a.json", "[1]", 0, "row 0: not a JSON object"},
		{"an array with a comma too many", "a.json", "[" + row + ",]", 1, "row 1: not JSON"},
		{"another format", "a.csv", "prompt,chosen", 0, `no reader for the extension ".csv" (known: .json, .jsonl, .ndjson, .parquet)`},
		{"binary", "a.jsonl", "\x00\xff\xfe\n", 0, "a.jsonl:1: not valid UTF-8"},
	} {
		groups, err := tryAll(write(t, c.file, c.text))
		if len(groups) != c.groups {
			t.Errorf("%s: %d groups", c.name, len(groups))
		}
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.file)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestHugeLines(t *testing.T) {
	long := strings.Repeat("x", 3<<20) // longer than the reader's buffer
	g := readAll(t, write(t, "a.jsonl", fmt.Sprintf(`{"prompt":"p","chosen":%q,"rejected":"r"}`, long)))
	if g[0].Completions[0].String != long {
		t.Error("a long line came out otherwise")
	}
}

func TestMissingFile(t *testing.T) {
	for _, name := range []string{"no.jsonl", "no.json", "no.parquet"} {
		if _, err := tryAll(filepath.Join(t.TempDir(), name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadStopsWhenTheLoopDoes(t *testing.T) {
	row := `{"prompt":"p","chosen":"c","rejected":"r"}`
	files := []string{write(t, "a.jsonl", row+"\n"+row), write(t, "a.json", "["+row+","+row+"]"), writeParquet(t, chats(30), 3)}
	for _, f := range files {
		for range Read([]string{f, f}, Options{}) {
			break
		}
	}
}

func FuzzJSONLines(f *testing.F) {
	f.Add("{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"}\n")
	f.Add("{\"prompt\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],\"responses\":[\"a\"],\"ranks\":[1]}")
	f.Add("\ufeff{}\n\n[")
	f.Fuzz(func(t *testing.T, text string) { fuzzFile(t, "x.jsonl", text) })
}

func FuzzJSON(f *testing.F) {
	f.Add(`[{"prompt":"p","chosen":"c","rejected":"r"}, {"a":[1,2.5,{"b":null}]}]`)
	f.Add(`[`)
	f.Add(`{"prompt":"p","completion":"c"}`)
	f.Fuzz(func(t *testing.T, text string) { fuzzFile(t, "x.json", text) })
}

// fuzzFile reads a file in both ways, and writes what can be opened as a table.
func fuzzFile(t *testing.T, name, text string) {
	path := write(t, name, text)
	for range Read([]string{path}, Options{}) {
	}
	table, err := OpenTable(path, Options{})
	if err != nil {
		return
	}
	defer table.Close()
	out := filepath.Join(t.TempDir(), "x.parquet")
	w, err := CreateTable(out, table, []Column{{"added of no such name", Float64Column}}, TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for row, err := range table.Rows(0) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(row, nil); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenTable(out, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for _, err := range again.Rows(0) {
		if err != nil {
			t.Fatal(err)
		}
		n--
	}
	if n != 0 {
		t.Fatalf("%d rows lost", n)
	}
}
