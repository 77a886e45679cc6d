package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/daulet/tokenizers"
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
	if t.spec, err = prepare(data); err != nil {
		return nil, fmt.Errorf("loading %s: %w", path, err)
	}
	if t.vocab, err = readVocabulary(t.spec); err != nil {
		return nil, fmt.Errorf("loading %s: %w", path, err)
	}
	if t.eos, err = t.findEOS(dir); err != nil {
		return nil, err
	}
	if t.armed, err = tokenizers.FromBytes(t.spec); err != nil {
		return nil, fmt.Errorf("loading %s: %w", path, err)
	}
	return t, nil
}

// prepare changes what tokenizer.json says in two points that leave the ids as they are with transformers:
// no truncation or padding, and offsets that are not trimmed (those of GPT-2 leave
// out the spaces of a token, so one that spans the border to a completion would seem to end before it).
func prepare(data []byte) ([]byte, error) {
	var spec map[string]json.RawMessage
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("not a tokenizer.json: %w", err)
	}
	if spec["model"] == nil {
		return nil, errors.New("not a tokenizer.json: it has no model")
	}
	spec["truncation"], spec["padding"] = json.RawMessage("null"), json.RawMessage("null")
	if post := spec["post_processor"]; post != nil {
		var tree any
		if err := json.Unmarshal(post, &tree); err != nil {
			return nil, fmt.Errorf("not a tokenizer.json: post_processor: %w", err)
		}
		untrim(tree)
		var err error
		if spec["post_processor"], err = json.Marshal(tree); err != nil {
			return nil, err
		}
	}
	return json.Marshal(spec)
}

// untrim switches the trimming of offsets off in a post-processor and those inside it.
func untrim(tree any) {
	switch v := tree.(type) {
	case map[string]any:
		if _, ok := v["trim_offsets"]; ok {
			v["trim_offsets"] = false
		}
		for _, sub := range v {
			untrim(sub)
		}
	case []any:
		for _, sub := range v {
			untrim(sub)
		}
	}
}

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
		id, ok := t.vocab.id(string(config.EOS))
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
			if id := config.EOS.id; id < 0 || int(id) >= t.vocab.size {
				return 0, fmt.Errorf("loading %s: eos_token_id %d is outside the vocabulary of %d", path, id, t.vocab.size)
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
	if err := json.Unmarshal(data, into); err != nil {
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
		Content string `json:"content"`
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return errors.New("a token is to be a string, or an object with content")
	}
	*t = tokenText(o.Content)
	return nil
}

// tokenID is a token's id as configs have it: a number, or a list whose first counts.
type tokenID struct {
	id  int32
	set bool
}

func (t *tokenID) UnmarshalJSON(data []byte) error {
	var list []int32
	if string(data) == "null" || json.Unmarshal(data, &list) == nil && len(list) == 0 {
		return nil
	}
	if list == nil {
		list = make([]int32, 1)
		if err := json.Unmarshal(data, &list[0]); err != nil {
			return errors.New("eos_token_id is to be an id, or a list of ids")
		}
	}
	t.id, t.set = list[0], true
	return nil
}
