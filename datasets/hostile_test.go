package datasets

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

type textRow struct {
	Prompt   string `parquet:"prompt"`
	Chosen   string `parquet:"chosen"`
	Rejected string `parquet:"rejected"`
}

type scoredRow struct {
	Prompt      string     `parquet:"prompt"`
	Completions []*string  `parquet:"completions,list"`
	Scores      []*float64 `parquet:"scores,list"`
}

// What data gets wrong, a line each: the file, the row, the column, and what to do. "" is data that is right.
func TestHostileData(t *testing.T) {
	a, b, one, nan := "a", "b", 1.0, math.NaN()
	const needsText = "a string, or a list of {role, content} messages, is needed"
	for _, c := range []struct{ name, file, text, want string }{
		{"UTF-8 that is none, in Parquet", writeParquet(t, []textRow{{"p", "a", "b"}, {"p", "caf\xe9", "b"}}, 2), "",
			"broken 1: column chosen: its text is not valid UTF-8: convert it to UTF-8 (rows.parquet: row 1)"},
		{"UTF-8 that is none, in JSON Lines", "a.jsonl", "{\"prompt\":\"caf\xe9\",\"chosen\":\"a\",\"rejected\":\"b\"}",
			"broken 1: not valid UTF-8: convert the file to UTF-8 (a.jsonl:1)"},
		{"half a character, as Python writes it", "a.jsonl", `{"prompt":"\ud83d","chosen":"a","rejected":"b"}`,
			`broken 1: not valid Unicode: \ud83d is half of a surrogate pair: remove it, or write the character whole (a.jsonl:1)`},
		{"halves in the wrong order", "a.json", `[{"prompt":"p","chosen":"\ude00\ud83d","rejected":"b"}]`,
			`broken 1: not valid Unicode: \ude00 is half of a surrogate pair: remove it, or write the character whole (a.json: row 0)`},
		{"a whole character, and a backslash before a u", "a.jsonl", `{"prompt":"\ud83d\ude00 \\ud83d \u00e9","chosen":"a","rejected":"b"}`, ""},
		{"NUL in Parquet", writeParquet(t, []textRow{{"a\x00b", "a", "b"}}, 1), "",
			"broken 1: column prompt: its text has a NUL byte at offset 1, where a tokenizer would cut it: remove it (rows.parquet: row 0)"},
		{"NUL in an answer of several", "a.jsonl", `{"prompt":"p","completions":["a","b\u0000"],"ranks":[1,2]}`,
			"broken 1: column completions, answer 1: its text has a NUL byte at offset 1, where a tokenizer would cut it: remove it (a.jsonl:1)"},
		{"NUL in a message", "a.jsonl", `{"prompt":"p","chosen":[{"role":"assistant","content":"\u0000"}],"rejected":"b"}`,
			"broken 1: column chosen: message 0: its text has a NUL byte at offset 0, where a tokenizer would cut it: remove it (a.jsonl:1)"},
		{"a prompt that is a number", "a.jsonl", `{"prompt":7,"chosen":"a","rejected":"b"}`, "broken 1: column prompt: it holds a number: " + needsText + " (a.jsonl:1)"},
		{"answers that are objects", "a.jsonl", `{"prompt":"p","chosen":{"text":"a"},"rejected":"b"}`, "broken 1: column chosen: it holds an object with text: " + needsText + " (a.jsonl:1)"},
		{"ranks in words", "a.jsonl", `{"prompt":"p","completions":["a","b"],"ranks":["first","second"]}`,
			"broken 1: column ranks holds a list with a string: numbers are needed (a.jsonl:1)"},
		{"a rank that is null", "a.jsonl", `{"prompt":"p","completions":["a","b"],"ranks":[1,null]}`, ""},
		{"a log-probability that is null", "a.jsonl", `{"prompt":"p","completions":["a","b"],"ranks":[1,2],"ref_logps":[-1,null]}`,
			"broken 1: column ref_logps holds a list with null: numbers are needed (a.jsonl:1)"},
		{"an answer that is null, in Parquet", writeParquet(t, []scoredRow{{"p", []*string{&a, nil}, []*float64{&one, &one}}}, 1), "",
			"broken 1: column completions, answer 1: it holds null: " + needsText + " (rows.parquet: row 0)"},
		{"a score that is no number", writeParquet(t, []scoredRow{{"p", []*string{&a, &b}, []*float64{&one, &nan}}}, 1), "",
			"broken 1: column scores holds NaN: a finite number is needed (rows.parquet: row 0)"},
		{"a score that is null, in Parquet", writeParquet(t, []scoredRow{{"p", []*string{&a, &b}, []*float64{&one, nil}}}, 1), "", ""},
		{"a message that is null", "a.jsonl", `{"prompt":"p","chosen":[null],"rejected":"b"}`,
			"broken 1: column chosen: message 0: it is null: an object with role and content is needed (a.jsonl:1)"},
		{"a role that is null", "a.jsonl", `{"prompt":"p","chosen":[{"role":null,"content":"a"}],"rejected":"b"}`,
			"broken 1: column chosen: message 0: it is an object with content, role: role and content are needed (a.jsonl:1)"},
		{"ranks with ties and gaps, and as many answers as you like", "a.jsonl",
			`{"prompt":"p","completions":["a","b","c"],"ranks":[9,9,-2]}` + "\n" + `{"prompt":"p","completions":["a","b"],"ranks":[0.5,1e9]}`, ""},
		{"one answer, equal answers, and none", "a.jsonl",
			`{"prompt":"p","completions":["a"],"ranks":[1]}` + "\n" + `{"prompt":"p","completions":["a","a"],"ranks":[1,2]}` + "\n" + `{"prompt":"p","completions":[],"ranks":[]}`,
			"broken 1: column completions holds an empty list: a list of answers is needed (a.jsonl:3)\ndropped 1: equal answers (a.jsonl:2)"},
		{"ranks for other answers", "a.jsonl", `{"prompt":"p","completions":["a","b"],"ranks":[1,2,3]}`, "broken 1: column ranks has 3 entries for 2 answers (a.jsonl:1)"},
		{"no rows, in Parquet", writeParquet(t, []textRow{}, 1), "", "broken 1: the file has no rows (rows.parquet)"},
		{"no rows, in JSON Lines", "a.jsonl", "\n\n", "broken 1: the file has no rows (a.jsonl)"},
		{"no rows, in JSON", "a.json", "[]", "broken 1: the file has no rows (a.json)"},
		{"nothing", "a.json", "", "broken 1: the file is empty (a.json)"},
	} {
		file := c.file
		if !filepath.IsAbs(file) {
			file = write(t, file, c.text)
		}
		if got := strings.Join(validate(t, &Encoder{}, file).lines(), "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// A folder stands for the files in it, whatever its own name is; one that holds none is refused.
func TestFoldersAsFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pairs.parquet")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Expand([]string{dir}); err == nil || !strings.Contains(err.Error(), "no file matches (formats: .json, .jsonl, .ndjson, .parquet)") {
		t.Errorf("an empty folder: %v", err)
	}
	file := filepath.Join(dir, "part.jsonl")
	if err := os.WriteFile(file, []byte(`{"prompt":"p","chosen":"c","rejected":"r"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := Expand([]string{dir}); err != nil || fmt.Sprint(found) != "["+file+"]" {
		t.Errorf("%v, %v", found, err)
	}
	for _, err := range Convert([]string{file}, dir, true) {
		if err == nil || !strings.Contains(err.Error(), "writing "+dir) {
			t.Errorf("written over a folder: %v", err)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("left beside it: %v", left)
	}
}

// Of two columns of one name neither is preferred in silence.
func TestColumnsOfOneName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "twice.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := parquet.NewGenericWriter[any](f, newSchema([]parquet.Field{newField("prompt", parquet.String()), newField("prompt", parquet.String())}))
	row := parquet.Row{parquet.ValueOf("a").Level(0, 0, 0), parquet.ValueOf("b").Level(0, 0, 1)}
	if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := tryAll(path); err == nil || !strings.Contains(err.Error(), "twice.parquet: it has two columns prompt: give them names that differ") {
		t.Errorf("read with %v", err)
	}
}
