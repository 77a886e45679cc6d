package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
)

// A vocabulary is what tokenizer.json says of tokens and their ids.
type vocabulary struct {
	added []added
	size  int // largest id + 1
	raw   []byte
	ids   func() map[string]int32 // of raw, made when first asked for
}

// added is a token beside those of the model; it overrides one of the same text there.
type added struct {
	ID      int64  `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`
}

// readVocabulary checks the model's vocabulary (a map for BPE, WordPiece and WordLevel, a list
// of token and score for Unigram) and reads the added tokens.
func readVocabulary(raw, addedTokens []byte) (vocabulary, error) {
	v := vocabulary{raw: raw}
	if addedTokens != nil {
		if err := json.Unmarshal(addedTokens, &v.added); err != nil {
			return v, fmt.Errorf("added_tokens: %w", err)
		}
	}
	for _, a := range v.added {
		if a.ID < 0 || a.ID >= math.MaxInt32 {
			return v, fmt.Errorf("added_tokens: %q has the id %d, outside 31 bits", a.Content, a.ID)
		}
		v.size = max(v.size, int(a.ID)+1)
	}
	err := tokens(raw, func(_ []byte, id int32) error {
		v.size = max(v.size, int(id)+1)
		return nil
	})
	if err != nil {
		return v, fmt.Errorf("model.vocab: %w", err)
	}
	if v.size == 0 {
		return v, errors.New("its vocabulary is empty")
	}
	v.ids = sync.OnceValue(func() map[string]int32 {
		ids := map[string]int32{}
		// What could be wrong with the tokens Rust has checked by now.
		_ = tokens(raw, func(quoted []byte, id int32) error {
			var s string
			err := json.Unmarshal(quoted, &s)
			ids[s] = id
			return err
		})
		return ids
	})
	return v, nil
}

// tokens calls f for each token of the model, in quotes, and its id.
func tokens(raw []byte, f func(quoted []byte, id int32) error) error {
	place := int32(0)
	return each(raw, func(name, value []byte) error {
		if name != nil {
			id, err := strconv.ParseInt(string(value), 10, 32)
			if err != nil || id < 0 || id == math.MaxInt32 {
				return fmt.Errorf("token %.100s has the id %.100s: 0 to 2147483646 is needed", name, value)
			}
			return f(name, int32(id))
		}
		token, err := scored(value)
		if err != nil {
			return fmt.Errorf("entry %d: %w", place, err)
		}
		place++
		return f(token, place-1)
	})
}

// scored takes the token from an entry of a Unigram vocabulary, [token, score].
func scored(entry []byte) (token []byte, err error) {
	n := 0
	err = each(entry, func(name, value []byte) error {
		switch n++; {
		case n == 1 && name == nil && value[0] == '"':
			token = value
		case n == 2 && name == nil && (value[0] == '-' || value[0] >= '0' && value[0] <= '9'):
		default:
			return errors.New("it is no pair of a token and its score")
		}
		return nil
	})
	if err == nil && n != 2 {
		err = errors.New("it is no pair of a token and its score")
	}
	return token, err
}

func (v *vocabulary) id(token string) (int32, bool) {
	for _, a := range v.added {
		if a.Content == token {
			return int32(a.ID), true
		}
	}
	id, ok := v.ids()[token]
	return id, ok
}

// text returns a token as the vocabulary spells it.
func (v *vocabulary) text(id int32) string {
	for _, a := range v.added {
		if a.ID == int64(id) {
			return a.Content
		}
	}
	for s, i := range v.ids() {
		if i == id {
			return s
		}
	}
	return ""
}

// specials returns the texts of the special tokens.
func (v *vocabulary) specials() []string {
	var texts []string
	for _, a := range v.added {
		if a.Special && a.Content != "" {
			texts = append(texts, a.Content)
		}
	}
	return texts
}
