package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// A vocabulary is what tokenizer.json says of tokens and their ids.
type vocabulary struct {
	ids   map[string]int32
	texts map[int32]string // of added tokens
	size  int              // largest id + 1
}

func (v vocabulary) id(token string) (int32, bool) {
	id, ok := v.ids[token]
	return id, ok
}

// text returns a token as the vocabulary spells it.
func (v vocabulary) text(id int32) string {
	if s, ok := v.texts[id]; ok {
		return s
	}
	for s, i := range v.ids {
		if i == id {
			return s
		}
	}
	return ""
}

// readVocabulary reads the model's vocabulary (a map for BPE, WordPiece and WordLevel, a list of
// token and score for Unigram) and the added tokens, which override it.
func readVocabulary(spec []byte) (vocabulary, error) {
	var file struct {
		Added []struct {
			ID      int64  `json:"id"`
			Content string `json:"content"`
		} `json:"added_tokens"`
		Model struct {
			Vocab json.RawMessage `json:"vocab"`
		} `json:"model"`
	}
	if err := json.Unmarshal(spec, &file); err != nil {
		return vocabulary{}, fmt.Errorf("not a tokenizer.json: %w", err)
	}
	v := vocabulary{ids: map[string]int32{}, texts: map[int32]string{}}
	if err := v.readModel(file.Model.Vocab); err != nil {
		return vocabulary{}, err
	}
	for _, a := range file.Added {
		if err := v.add(a.Content, a.ID); err != nil {
			return vocabulary{}, err
		}
		v.texts[int32(a.ID)] = a.Content
	}
	if v.size == 0 {
		return vocabulary{}, errors.New("not a tokenizer.json: its vocabulary is empty")
	}
	return v, nil
}

func (v *vocabulary) readModel(raw json.RawMessage) error {
	var byText map[string]int64
	if err := json.Unmarshal(raw, &byText); err == nil {
		for s, id := range byText {
			if err := v.add(s, id); err != nil {
				return err
			}
		}
		return nil
	}
	var list [][]json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return errors.New("not a tokenizer.json: model.vocab is neither a map of ids nor a list of tokens")
	}
	for i, entry := range list {
		var s string
		if len(entry) == 0 || json.Unmarshal(entry[0], &s) != nil {
			return fmt.Errorf("not a tokenizer.json: entry %d of model.vocab is no token", i)
		}
		if err := v.add(s, int64(i)); err != nil {
			return err
		}
	}
	return nil
}

func (v *vocabulary) add(token string, id int64) error {
	if id < 0 || id >= math.MaxInt32 {
		return fmt.Errorf("token %q has the id %d, outside 32 bits", token, id)
	}
	v.ids[token] = int32(id)
	v.size = max(v.size, int(id)+1)
	return nil
}
