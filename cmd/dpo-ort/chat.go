package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/datasets/chat"
	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/models"
)

// chatTokenizer is a model's tokenizer with its chat template, or one that the user gives.
type chatTokenizer struct {
	*tokenizer.Tokenizer
	*chat.Renderer
	template string // digest of all that writes messages; "" without a template
}

// Digests are the tokenizer's, and that of the template with the special tokens that it is given.
func (t *chatTokenizer) Digests() (text, template string) {
	text, _ = t.Tokenizer.Digests()
	return text, t.template
}

// tokenizerOf opens a model's tokenizer, or of an adapter without one its base's, with the model's chat template.
func tokenizerOf(model string) (*chatTokenizer, error) { return tokenizerWith(model, "") }

// tokenizerWith opens a model's tokenizer with the chat template of a file, or with the model's for "".
func tokenizerWith(model, template string) (*chatTokenizer, error) {
	home, err := models.Home(model, "tokenizer.json")
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Load(home)
	if err != nil {
		return nil, err
	}
	source, text := home, tok.Template()
	if template != "" {
		if source, text, err = templateFile(template); err != nil {
			tok.Close()
			return nil, err
		}
	}
	t := &chatTokenizer{Tokenizer: tok, Renderer: chat.NewRenderer(source, text, tok.SpecialTokens())}
	if text != nil {
		t.template, err = templateDigest(text, tok.SpecialTokens())
	}
	return t, err
}

// templateFile reads a template that the user gives, which is to be one.
func templateFile(path string) (source string, text []byte, err error) {
	if text, err = tokenizer.ReadTemplate(path); err != nil {
		return "", nil, err
	}
	if _, err := chat.Parse(string(text)); err != nil {
		return "", nil, fmt.Errorf("read %s: %w", path, err)
	}
	return path, text, nil
}

func templateDigest(text []byte, tokens map[string]string) (string, error) {
	names, err := json.Marshal(tokens) // in the order of the names
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "tokens %s\n", names)
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// bindTemplate declares --chat-template.
func bindTemplate(f *pflag.FlagSet, to *string) {
	f.StringVar(to, "chat-template", *to, "file with the chat template (Jinja) that writes messages, instead of the model's own")
}
