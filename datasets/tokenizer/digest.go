package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Digests are the SHA-256 of tokenizer.json with the id of the EOS token, and of the model's chat template; "" where it has
// none. Equal digests give equal token ids.
func (t *Tokenizer) Digests() (text, template string) { return t.digests.text, t.digests.template }

// digest reads the files of a model directory; data is tokenizer.json.
func (t *Tokenizer) digest(dir string, data []byte) error {
	h := sha256.New()
	fmt.Fprintf(h, "eos %d\n", t.eos)
	h.Write(data)
	t.digests.text = hex.EncodeToString(h.Sum(nil))
	template, err := findTemplate(dir)
	if err != nil || template == nil {
		return err
	}
	sum := sha256.Sum256(template)
	t.digests.template = hex.EncodeToString(sum[:])
	return nil
}

// findTemplate gives the chat template as transformers looks for it: chat_template.jinja, then chat_template.json, then
// tokenizer_config.json; nil if there is none.
func findTemplate(dir string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, "chat_template.jinja"))
	if err == nil {
		return text, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("loading a chat template: %w", err)
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
