package vader

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// The compound score is that of vaderSentiment 3.3.2 for 300 sentences, to the four digits that it gives.
func TestCompoundEqualsVaderSentiment(t *testing.T) {
	l, err := Open(golden.Testdata(t, "golden", "vader.lexicon.tsv"), golden.Testdata(t, "golden", "vader.emoji.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Text     string
		Compound float64
	}
	golden.JSON(t, golden.Testdata(t, "golden", "vader.json"), &rows)
	if len(rows) < 300 {
		t.Errorf("%d sentences, 300 are wanted", len(rows))
	}
	for _, r := range rows {
		if got := l.Compound(r.Text); math.Abs(got-r.Compound) > 1e-9 {
			t.Errorf("%q: %v, want %v", r.Text, got, r.Compound)
		}
	}
}

// The scores of the preferences that vaderSentiment 3.3.2 made, of samples of stories260K, come out again. Its lexicon has two words that
// the older one beside the data lacks.
func TestCompoundOfStories(t *testing.T) {
	l, err := Open(golden.Shared(t, "lexicon/vader_lexicon.txt"), "")
	if err != nil {
		t.Fatal(err)
	}
	l.valence["heart"], l.valence["hearts"] = 3.2, 3.3
	n := 0
	for _, name := range []string{"train", "test"} {
		text, err := os.ReadFile(golden.Shared(t, "pref/stories-sentiment-"+name+".ranked.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var row struct {
				Responses []string
				Scores    []float64
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			for k, answer := range row.Responses {
				n++
				if got := l.Compound(answer); math.Abs(got-row.Scores[k]) > 1e-4 {
					t.Errorf("%s: %q: %v, want %v", name, answer, got, row.Scores[k])
				}
			}
		}
	}
	t.Logf("%d answers", n)
	if n != 6000 {
		t.Errorf("%d answers, want 6000", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"good 1.9\n":             `line 1: it is "good 1.9": a tab is needed`,
		"good\t1.9\n\nbad\tso\n": `line 3: the valence of "bad" is "so": a number is needed`,
		"good\tNaN\n":            "a number is needed",
		"\n":                     "it holds no word",
	} {
		path := filepath.Join(t.TempDir(), "words.tsv")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, ""); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), ""); err == nil || !strings.HasPrefix(err.Error(), "read a lexicon: ") {
		t.Errorf("no file: error %v", err)
	}
}
