package tokenizer_test

import (
	"compress/gzip"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// Real tokenizers give the ids, and texts, of Python's tokenizers on 24 hard strings each.
func TestEqualsPythonsTokenizers(t *testing.T) {
	var want struct {
		Tokenizers map[string]struct {
			Cases []struct {
				Text, Decoded string
				IDs           []int32
			}
		}
	}
	golden.JSON(t, golden.Shared(t, "tok/golden_tokens.json"), &want)
	for name, judged := range want.Tokenizers {
		if path.Base(name) == "torchtune_tokenizer.json" { // shared data do not hold it
			continue
		}
		t.Run(path.Dir(name), func(t *testing.T) {
			tok := load(t, unpacked(t, path.Dir(name)))
			for _, c := range judged.Cases {
				ids, ends, err := tok.Encode(c.Text)
				if strings.ContainsRune(c.Text, 0) {
					if err == nil {
						t.Errorf("text with a NUL byte is not refused")
					}
					continue
				}
				if err != nil || !slices.Equal(ids, c.IDs) || len(ends) != len(ids) {
					t.Errorf("%q: ids %v (%v), Python has %v", c.Text, ids, err, c.IDs)
				}
				for i, end := range ends {
					if end < -1 || end > len(c.Text) {
						t.Errorf("%q: token %d ends at %d of %d bytes", c.Text, i, end, len(c.Text))
					}
				}
			}
		})
	}
}

// unpacked makes a folder of a tokenizer.json as shared data keeps it.
func unpacked(t *testing.T, name string) string {
	t.Helper()
	if name == "stories260K-hf" {
		return golden.Shared(t, "models/stories260K-hf")
	}
	text, err := read(t, name)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, name string) ([]byte, error) {
	if name == "tinybpe" {
		return os.ReadFile(golden.Shared(t, "tok/tiny_bpe_tokenizer.json"))
	}
	source, err := os.Open(golden.Shared(t, "tok/"+name+".tokenizer.json.gz"))
	if err != nil {
		return nil, err
	}
	defer source.Close()
	in, err := gzip.NewReader(source)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(in)
}

func load(t testing.TB, dir string) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tok.Close(); err != nil {
			t.Error(err)
		}
	})
	return tok
}

func TestTinyTokenizer(t *testing.T) {
	tok := load(t, golden.Testdata(t, "models", "tiny-llama"))
	const text = "One day Tom saw a cat."
	ids, ends, err := tok.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := tok.Decode(ids); err != nil || strings.TrimSpace(back) != text {
		t.Errorf("%q came back as %q (%v)", text, back, err)
	}
	if last := ends[len(ends)-1]; last != len(text) {
		t.Errorf("the last token ends at %d of %d bytes", last, len(text))
	}
	id, eos, ok := tok.EOS()
	if found, there := tok.ID(eos); !ok || !there || found != id {
		t.Errorf("EOS %d %q %v, in the vocabulary %d %v", id, eos, ok, found, there)
	}
	if _, err := tok.Decode([]int32{int32(tok.VocabSize())}); err == nil {
		t.Error("an id outside the vocabulary is decoded")
	}
}

// Whatever stands in tokenizer.json gives an error that names the file, and never ends the process.
func TestGarbageIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "garbage", "a list": "[]", "no model": "{}", "null model": `{"model": null}`,
		"unknown model": `{"model": {"type": "Magic", "vocab": {"a": 0}}}`, "vocabulary of another kind": `{"model": {"type": "BPE", "vocab": 7, "merges": []}}`,
		"merge of unknown tokens": `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}`,
		"negative id":             `{"model": {"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"}}`,
		"cut short":               `{"model": {"type": "BPE", "vocab": {"a": 0`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.Load(dir)
		if err == nil {
			tok.Close()
			t.Errorf("%s: loaded", name)
		} else if !strings.Contains(err.Error(), "tokenizer.json") {
			t.Errorf("%s: error %v names no file", name, err)
		}
	}
	if _, err := tokenizer.Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "AutoTokenizer") {
		t.Errorf("no tokenizer.json: error %v", err)
	}
}
