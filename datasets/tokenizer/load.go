package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/daulet/tokenizers"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

// Load opens the tokenizer of a model directory.
func Load(dir string) (*Tokenizer, error) {
	path := filepath.Join(dir, "tokenizer.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("loading a tokenizer: %w (a model without it can be given one by transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR))", err)
	}
	if err != nil {
		return nil, fmt.Errorf("loading a tokenizer: %w", err)
	}
	t := &Tokenizer{path: path}
	if t.spec, err = readSpec(data); err != nil {
		return nil, fmt.Errorf("loading %s: not a tokenizer.json: %w", path, err)
	}
	if t.eos, err = t.findEOS(dir); err != nil {
		return nil, err
	}
	if err := t.digest(dir, data); err != nil {
		return nil, err
	}
	if err := t.nameTokens(dir); err != nil {
		return nil, err
	}
	if t.armed, err = t.open(false); err != nil {
		return nil, err
	}
	return t, nil
}

// open gives the tokenizer to Rust; later is as for marshal.
func (t *Tokenizer) open(later bool, options ...tokenizers.TokenizerOption) (*tokenizers.Tokenizer, error) {
	data, err := t.spec.marshal(later)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", t.path, err)
	}
	h, err := tokenizers.FromBytes(data, options...)
	if err != nil {
		return nil, fmt.Errorf("loading %s: not a tokenizer.json: %s", t.path, inFile(err.Error(), data))
	}
	return h, nil
}

// inFile gives an error of Rust's in the file's words: in place of the line and column, which are those of data, written anew, the
// part of the file.
func inFile(text string, data []byte) string {
	at := ""
	if m := rewritten.FindStringSubmatch(text); m != nil {
		text = strings.TrimSuffix(text, m[0])
		line, _ := strconv.Atoi(m[1])
		column, _ := strconv.Atoi(m[2])
		start := 0
		for ; line > 1; line-- {
			start += bytes.IndexByte(data[start:], '\n') + 1
		}
		at = partAt(data, start+column)
	}
	text = strings.TrimPrefix(text, "Failed to create tokenizer from bytes: ")
	for name, part := range map[string]string{"NormalizerUntagged": "normalizer", "PreTokenizerUntagged": "pre_tokenizer", "PostProcessorWrapper": "post_processor",
		"DecoderUntagged": "decoder", "ModelUntagged": "model"} {
		if strings.HasSuffix(text, "did not match any variant of untagged enum "+name) {
			return part + ": it is of no type that is known, or a field of it is wrong"
		}
	}
	if at != "" {
		return at + ": " + text
	}
	return text
}

// partAt names the field, and within model the field of that, in which a place of data lies, or at whose end.
func partAt(data []byte, place int) (name string) {
	data = slices.Clip(data)                          // so that capacities tell where a value lies
	_ = each(data, func(quoted, value []byte) error { // data was written by us
		start := cap(data) - cap(value)
		if quoted == nil || start > place || place > start+len(value)+1 {
			return nil
		}
		name = string(quoted[1 : len(quoted)-1])
		if inner := partAt(value, place-start); name == "model" && inner != "" {
			name += "." + inner
		}
		return nil
	})
	return name
}

var rewritten = regexp.MustCompile(` at line (\d+) column (\d+)$`)

// findEOS looks for the EOS token in the model's files; -1 if none names it.
func (t *Tokenizer) findEOS(dir string) (int32, error) {
	for _, name := range []string{"tokenizer_config.json", "special_tokens_map.json"} {
		var config struct {
			EOS tokenText `json:"eos_token"`
		}
		path := filepath.Join(dir, name)
		if err := readConfig(path, &config); err != nil {
			return 0, err
		}
		if config.EOS == "" {
			continue
		}
		id, ok := t.spec.vocab.id(string(config.EOS))
		if !ok {
			return 0, fmt.Errorf("loading %s: eos_token %q is not in the vocabulary of %s", path, config.EOS, t.path)
		}
		return id, nil
	}
	for _, name := range []string{"generation_config.json", "config.json"} {
		var config struct {
			EOS tokenID `json:"eos_token_id"`
		}
		path := filepath.Join(dir, name)
		if err := readConfig(path, &config); err != nil {
			return 0, err
		}
		if config.EOS.set {
			if id := config.EOS.id; id < 0 || int(id) >= t.spec.vocab.size {
				return 0, fmt.Errorf("loading %s: eos_token_id %d is outside the vocabulary of %d", path, id, t.spec.vocab.size)
			}
			return config.EOS.id, nil
		}
	}
	return -1, nil
}

// readConfig reads a JSON file if it is there.
func readConfig(path string, into any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("loading a tokenizer: %w", err)
	}
	if err := plainjson.Unmarshal(data, into); err != nil {
		return fmt.Errorf("loading %s: %w", path, err)
	}
	return nil
}

// tokenText is a token as configs have it: a string, or an object with its content.
type tokenText string

func (t *tokenText) UnmarshalJSON(data []byte) error {
	var s *string
	if err := json.Unmarshal(data, &s); err == nil {
		if s != nil {
			*t = tokenText(*s)
		}
		return nil
	}
	var o struct {
		Content *string `json:"content"`
	}
	if err := json.Unmarshal(data, &o); err != nil || o.Content == nil {
		return fmt.Errorf("a token is to be a string, or an object with content, not %.100s", data)
	}
	*t = tokenText(*o.Content)
	return nil
}

// tokenID is a token's id as configs have it: a number, or a list whose first counts.
type tokenID struct {
	id  int32
	set bool
}

func (t *tokenID) UnmarshalJSON(data []byte) error {
	var list []*int32
	if data[0] != '[' {
		data = slices.Concat([]byte{'['}, data, []byte{']'})
	}
	if err := json.Unmarshal(data, &list); err != nil || len(list) > 1 && slices.Contains(list, nil) {
		return fmt.Errorf("eos_token_id is to be an id, or a list of ids, not %.100s", data)
	}
	if len(list) > 0 && list[0] != nil {
		t.id, t.set = *list[0], true
	}
	return nil
}
