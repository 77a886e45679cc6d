package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

// A vocabulary is what tokenizer.json says of tokens and their ids.
type vocabulary struct {
	added []added
	size  int // largest id + 1
	raw   []byte
	ids   func() map[string]int32 // of raw
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
		if err := readAdded(addedTokens, &v.added); err != nil {
			return v, fmt.Errorf("added_tokens: %w", err)
		}
	}
	ids := map[string]int32{}
	texts := map[int32]string{}
	err := tokens(raw, func(quoted []byte, id int32) error {
		s, err := unquote(quoted)
		if err != nil {
			return err
		}
		if _, twice := ids[s]; twice {
			return fmt.Errorf("token %.100q comes twice", s)
		}
		if other, twice := texts[id]; twice {
			return fmt.Errorf("tokens %.100q and %.100q have the same id, %d", other, s, id)
		}
		ids[s], texts[id] = id, s
		v.size = max(v.size, int(id)+1)
		return nil
	})
	switch {
	case err != nil:
		return v, fmt.Errorf("model.vocab: %w", err)
	case len(ids) == 0:
		return v, errors.New("model.vocab: it is empty")
	case v.size > 2*len(ids)+maxGap:
		return v, fmt.Errorf("model.vocab: its largest id is %d, of %d tokens: the file is damaged", v.size-1, len(ids))
	}
	if err := v.place(ids); err != nil {
		return v, fmt.Errorf("added_tokens: %w", err)
	}
	v.ids = func() map[string]int32 { return ids }
	return v, nil
}

// maxGap is more ids without a token than vocabularies leave out.
const maxGap = 1 << 16

func unquote(quoted []byte) (string, error) {
	if !utf8.Valid(quoted) {
		return "", fmt.Errorf("token %.100q is not valid UTF-8", quoted)
	}
	if half := plainjson.HalfPair(quoted); half != "" {
		return "", fmt.Errorf("token %.100s holds %s, half of a surrogate pair", quoted, half)
	}
	if bytes.IndexByte(quoted, '\\') < 0 && bytes.IndexFunc(quoted, func(r rune) bool { return r < ' ' }) < 0 {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return "", fmt.Errorf("token %.100q is not JSON: %w", quoted, err)
	}
	return s, nil
}

// readAdded reads the list of added tokens, each with an id and a text.
func readAdded(data []byte, to *[]added) error {
	var list []struct {
		ID      *int64  `json:"id"`
		Content *string `json:"content"`
		Special bool    `json:"special"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("a list of objects with id (a number), content (a string) and special (true or false) is needed: %w", err)
	}
	for i, a := range list {
		switch {
		case a.ID == nil || a.Content == nil:
			return fmt.Errorf("entry %d lacks an id, or content", i)
		case *a.ID < 0 || *a.ID >= math.MaxInt32:
			return fmt.Errorf("%q has the id %d, outside 31 bits", *a.Content, *a.ID)
		}
		*to = append(*to, added{ID: *a.ID, Content: *a.Content, Special: a.Special})
	}
	return nil
}

// place checks that each added token has the id that tokenizers gives it, whatever the file says: that of the model's token of
// the same text; else the next after those of the model and of the added ones before it.
func (v *vocabulary) place(ids map[string]int32) error {
	given, next := map[string]int64{}, int64(len(ids))
	for _, a := range v.added {
		want := next
		if id, ok := ids[a.Content]; ok {
			want = int64(id)
		}
		if _, twice := given[a.Content]; twice {
			return fmt.Errorf("%q comes twice", a.Content)
		}
		if a.Content == "" {
			return fmt.Errorf("the token of id %d has no text", a.ID)
		}
		if a.ID != want {
			return fmt.Errorf("%q has the id %d, where the tokenizer gives it %d", a.Content, a.ID, want)
		}
		given[a.Content] = a.ID
		next = max(next, a.ID+1)
		v.size = max(v.size, int(a.ID)+1)
	}
	return nil
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
