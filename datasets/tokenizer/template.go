package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// Template is the model's chat template as its files have it: Jinja, or the JSON of a string or of a list of named ones; nil if there is none.
func (t *Tokenizer) Template() []byte { return t.template }

// SpecialTokens are the texts of the tokens that the model's files name, by the names that chat templates know: bos_token, eos_token and others.
func (t *Tokenizer) SpecialTokens() map[string]string { return t.named }

// tokenNames are what transformers calls special tokens.
var tokenNames = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// nameTokens reads the names of special tokens; a file that comes first has the word.
func (t *Tokenizer) nameTokens(dir string) error {
	t.named = map[string]string{}
	for _, file := range []string{"tokenizer_config.json", "special_tokens_map.json"} {
		var fields map[string]json.RawMessage
		if err := readConfig(filepath.Join(dir, file), &fields); err != nil {
			return err
		}
		for _, name := range tokenNames {
			var text tokenText
			if t.named[name] != "" || fields[name] == nil {
				continue
			}
			if err := json.Unmarshal(fields[name], &text); err != nil {
				return fmt.Errorf("loading %s: %s: %w", filepath.Join(dir, file), name, err)
			}
			if text != "" {
				t.named[name] = string(text)
			}
		}
	}
	return nil
}

// ReadTemplate reads a file with a chat template: a regular one of at most 1 MiB.
func ReadTemplate(path string) ([]byte, error) {
	text, err := safefile.Read(path, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("read the chat template: %w", err)
	}
	return text, nil
}

// findTemplate gives the chat template as transformers looks for it: chat_template.jinja, then chat_template.json, then
// tokenizer_config.json; nil if there is none.
func findTemplate(dir string) ([]byte, error) {
	text, err := ReadTemplate(filepath.Join(dir, "chat_template.jinja"))
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	for _, name := range []string{"chat_template.json", "tokenizer_config.json"} {
		var config struct {
			Template json.RawMessage `json:"chat_template"`
		}
		if err := readConfig(filepath.Join(dir, name), &config); err != nil {
			return nil, err
		}
		if config.Template != nil && string(config.Template) != "null" {
			return config.Template, nil
		}
	}
	return nil, nil
}
