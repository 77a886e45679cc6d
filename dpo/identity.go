package dpo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// identity is what the columns of a scored file depend on, under the names of the flags. The file carries it in its
// metadata, so that whoever takes them as cached can tell stale ones. Models, tokenizer and template are digests.
type identity struct {
	Model           string            `json:"model"`
	Ref             string            `json:"ref,omitempty"`
	Tokenizer       string            `json:"tokenizer"` // "" if unknown
	Template        string            `json:"template"`  // "" if there is none
	Beta            float64           `json:"beta"`
	MaxLength       int               `json:"max-length"`
	MaxPromptLength int               `json:"max-prompt-length"`
	Truncate        string            `json:"truncate"`
	EOS             string            `json:"eos"`
	DType           string            `json:"dtype,omitempty"` // "" for float32
	TF32            bool              `json:"tf32,omitempty"`
	LDAlpha         *float64          `json:"ld-alpha,omitempty"` // nil for 1
	Columns         map[string]string `json:"columns,omitempty"`
}

// metadataKey is where a scored file has its identity, as JSON.
const metadataKey = "dpo-ort.score"

// digester is a Tokenizer that knows the digests of what it is made of.
type digester interface {
	// Digests are of all that turns text into token ids (with the EOS token), and of the chat template that writes
	// messages as text; "" where there is none.
	Digests() (text, template string)
}

// encoding is the part of an identity that says how rows become token ids.
func (c Config) encoding(tok datasets.Tokenizer) identity {
	id := identity{MaxLength: c.MaxLength, MaxPromptLength: c.MaxPromptLength, Truncate: c.Truncate, EOS: c.EOS, TF32: c.TF32, LDAlpha: c.LDAlpha, Columns: c.Columns}
	if c.DType != "" && c.DType != onnx.Float32.String() {
		id.DType = c.DType
	}
	if d, ok := tok.(digester); ok {
		id.Tokenizer, id.Template = d.Digests()
	}
	return id
}

// readStrictly decodes JSON that holds no other fields than into has.
func readStrictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// differences lists the fields in which two values differ, by their names in JSON.
func differences(was, is any) (out []string, err error) {
	a, err := jsonFields(was)
	if err != nil {
		return nil, err
	}
	b, err := jsonFields(is)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !bytes.Equal(a[name], b[name]) {
			out = append(out, fmt.Sprintf("%s was %s, is %s", name, shortened(a[name]), shortened(b[name])))
		}
	}
	return out, nil
}

func jsonFields(v any) (map[string]json.RawMessage, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var of map[string]json.RawMessage
	return of, json.Unmarshal(text, &of)
}

// shortened shows a field's value: of a digest its beginning.
func shortened(value json.RawMessage) string {
	const digest, shown = 64, 12
	text := string(bytes.Trim(value, `"`))
	switch len(text) {
	case 0:
		return "none"
	case digest:
		return text[:shown]
	}
	return text
}
