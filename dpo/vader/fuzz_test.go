package vader

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLexicon checks that a lexicon gives every text a sentiment from -1 to 1, or is refused.
func FuzzLexicon(f *testing.F) {
	f.Add("good\t1.9\nbad\t-2.5\t0.6\n", "x\ty", "GOOD but not bad!!")
	f.Add("a\t1e999", "", "a")
	f.Fuzz(func(t *testing.T, lexicon, emoji, text string) {
		dir := t.TempDir()
		words, symbols := filepath.Join(dir, "words"), filepath.Join(dir, "emoji")
		for path, content := range map[string]string{words: lexicon, symbols: emoji} {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l, err := Open(words, symbols)
		if err != nil {
			return
		}
		if x := l.Compound(text); math.IsNaN(x) || x < -1 || x > 1 {
			t.Fatalf("a sentiment of %v", x)
		}
	})
}
