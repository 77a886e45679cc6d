package tokenizer_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// Copies have equal digests; each file that changes the ids, or the text of messages, changes its own and not the other.
func TestDigests(t *testing.T) {
	from := golden.Testdata(t, "models", "tiny-llama")
	digests := func(files map[string]string) [2]string {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "model")
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		tok, err := tokenizer.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer tok.Close()
		text, template := tok.Digests()
		return [2]string{text, template}
	}
	json, err := os.ReadFile(filepath.Join(from, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	plain := digests(nil)
	if len(plain[0]) != 64 || plain[1] != "" || digests(nil) != plain {
		t.Errorf("digests %v of a model without template, %v of a copy", plain, digests(nil))
	}
	tests := []struct {
		name           string
		files          map[string]string
		text, template bool // what changes
	}{
		{"other tokenizer", map[string]string{"tokenizer.json": string(json) + " "}, true, false},
		{"other EOS", map[string]string{"tokenizer_config.json": `{"eos_token": "<s>"}`}, true, false},
		{"other settings", map[string]string{"tokenizer_config.json": `{"eos_token": "</s>", "chat_template": null}`}, false, false},
		{"template among the settings", map[string]string{"tokenizer_config.json": `{"eos_token": "</s>", "chat_template": "{{ a }}"}`}, false, true},
		{"template of its own", map[string]string{"chat_template.jinja": "{{ a }}"}, false, true},
		{"template as JSON", map[string]string{"chat_template.json": `{"chat_template": "{{ a }}"}`}, false, true},
	}
	for _, test := range tests {
		if got := digests(test.files); (got[0] != plain[0]) != test.text || (got[1] != plain[1]) != test.template {
			t.Errorf("%s: digests %v, without it %v", test.name, got, plain)
		}
	}
}
