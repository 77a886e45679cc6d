// Package tokenizer loads the tokenizer of a Hugging Face model directory.
//
//	tok, err := tokenizer.Load("models/stories260K")
//	defer tok.Close()
//	ids, ends, err := tok.Encode("Once upon a time")
//
// It wraps Hugging Face's own tokenizers (Rust, by github.com/daulet/tokenizers), so ids are
// those of Python's. [Load] reads tokenizer.json for the tokenizer and its vocabulary, and
// tokenizer_config.json, special_tokens_map.json, generation_config.json and config.json, in
// this order, for the token that ends an answer.
//
// # Caveats
//
// The Rust interface takes C strings: text with a NUL byte is refused, since it would be cut
// there. Truncation and padding that tokenizer.json asks for are left out, as
// transformers leaves them out. A Tokenizer holds memory outside Go's until Close; it is
// safe for concurrent use.
package tokenizer

/*
#cgo LDFLAGS: -L${SRCDIR}/../../build/lib
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/daulet/tokenizers"
)

// Tokenizer implements datasets.Tokenizer.
type Tokenizer struct {
	path string // of tokenizer.json
	spec *spec
	eos  int32 // -1 if there is none

	digests  struct{ text, template string }
	template []byte
	named    map[string]string // special tokens

	armed *tokenizers.Tokenizer
	// plain has special tokens disarmed, for text at the beginning and for text further on. They
	// are whole tokenizers, made at first use.
	plain [2]lazy
}

// lazy is a tokenizer of Rust that is made when needed.
type lazy struct {
	once   sync.Once
	handle *tokenizers.Tokenizer
	err    error
}

// Encode returns the ids of text and the byte offset just past the text of each, -1 for a
// token that the tokenizer adds by itself (BOS, EOS). Special tokens spelt in text become
// their ids, as in transformers.
func (t *Tokenizer) Encode(text string) (ids []int32, ends []int, err error) {
	return t.encode(t.armed, text)
}

func (t *Tokenizer) encode(handle *tokenizers.Tokenizer, text string) ([]int32, []int, error) {
	if i := strings.IndexByte(text, 0); i >= 0 {
		return nil, nil, fmt.Errorf("tokenizing text: it has a NUL byte at offset %d, where the tokenizer would cut it: remove it", i)
	}
	if !utf8.ValidString(text) {
		return nil, nil, errors.New("tokenizing text: it is not valid UTF-8")
	}
	enc, err := handle.EncodeWithOptionsErr(text, true, tokenizers.WithReturnOffsets(), tokenizers.WithReturnSpecialTokensMask())
	if err != nil {
		return nil, nil, fmt.Errorf("tokenizing text by %s: %w (does its model know a token for what is unknown?)", t.path, err)
	}
	ids, ends := make([]int32, len(enc.IDs)), make([]int, len(enc.IDs))
	for i, id := range enc.IDs {
		if id > math.MaxInt32 {
			return nil, nil, fmt.Errorf("tokenizing text by %s: token id %d does not fit 32 bits", t.path, id)
		}
		ids[i], ends[i] = int32(id), int(enc.Offsets[i][1])
		if enc.SpecialTokensMask[i] != 0 {
			ends[i] = -1
		}
	}
	return ids, ends, nil
}

// Decode returns the text of ids, without special tokens. Ids outside the vocabulary are an error. A token whose text has a NUL byte,
// which the Rust interface cannot give, is written as U+FFFD.
func (t *Tokenizer) Decode(ids []int32) (string, error) {
	raw := make([]uint32, len(ids))
	for i, id := range ids {
		if id < 0 || int(id) >= t.spec.vocab.size {
			return "", fmt.Errorf("decoding tokens: id %d at %d is outside the vocabulary of %d", id, i, t.spec.vocab.size)
		}
		raw[i] = uint32(id)
	}
	text, err := t.armed.DecodeErr(raw, true)
	if err == nil {
		return text, nil
	}
	return t.decodeAround(raw)
}

// decodeAround decodes what stands between tokens that have no text of their own.
func (t *Tokenizer) decodeAround(ids []uint32) (string, error) {
	var b strings.Builder
	first := 0
	for i := range len(ids) + 1 {
		if i < len(ids) {
			if _, err := t.armed.DecodeErr(ids[i:i+1], true); err == nil {
				continue
			}
		}
		if first < i {
			text, err := t.armed.DecodeErr(ids[first:i], true)
			if err != nil {
				return "", fmt.Errorf("decoding tokens: %w", err)
			}
			b.WriteString(text)
		}
		if first = i + 1; i < len(ids) {
			b.WriteRune(utf8.RuneError)
		}
	}
	return b.String(), nil
}

// EOS returns the token that ends an answer, and its text; false if the model's files name none.
func (t *Tokenizer) EOS() (id int32, text string, ok bool) {
	if t.eos < 0 {
		return 0, "", false
	}
	return t.eos, t.spec.vocab.text(t.eos), true
}

// ID returns the id of a token, by its text in the vocabulary or among the added tokens.
func (t *Tokenizer) ID(token string) (int32, bool) { return t.spec.vocab.id(token) }

// VocabSize is the largest id + 1, added tokens included.
func (t *Tokenizer) VocabSize() int { return t.spec.vocab.size }

// Close frees the memory outside Go's. The Tokenizer must not be used after it.
func (t *Tokenizer) Close() error {
	var errs []error
	for _, h := range []**tokenizers.Tokenizer{&t.armed, &t.plain[0].handle, &t.plain[1].handle} {
		if *h != nil {
			errs = append(errs, (*h).Close())
			*h = nil
		}
	}
	return errors.Join(errs...)
}
