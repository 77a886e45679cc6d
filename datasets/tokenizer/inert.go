package tokenizer

import (
	"slices"
	"strings"

	"github.com/daulet/tokenizers"
)

// Specials returns the texts of the special tokens.
func (t *Tokenizer) Specials() []string { return t.spec.vocab.specials() }

// EncodeInert is Encode where no special token begins at the offsets given, in bytes: what spells one there is text.
//
// As tokenizers cut text at special tokens before all else, the pieces between them are
// encoded one by one; only a special token that takes white space beside it with it leaves that to an inert piece.
func (t *Tokenizer) EncodeInert(text string, inert []int) (ids []int32, ends []int, err error) {
	if len(inert) == 0 {
		return t.Encode(text)
	}
	at := 0
	for i, p := range cut(text, t.Specials(), inert) {
		handle := t.armed
		if p.inert {
			if handle, err = t.disarmed(at > 0); err != nil {
				return nil, nil, err
			}
		}
		pieceIDs, pieceEnds, err := t.encode(handle, p.text)
		if err != nil {
			return nil, nil, err
		}
		for k, end := range pieceEnds {
			switch {
			case end >= 0:
				end += at
			case i > 0:
				continue // what the tokenizer adds belongs to the beginning of the whole text
			}
			ids, ends = append(ids, pieceIDs[k]), append(ends, end)
		}
		at += len(p.text)
	}
	return ids, ends, nil
}

// disarmed returns a tokenizer with special tokens disarmed.
func (t *Tokenizer) disarmed(later bool) (*tokenizers.Tokenizer, error) {
	l := &t.plain[0]
	if later {
		l = &t.plain[1]
	}
	l.once.Do(func() { l.handle, l.err = t.open(later, tokenizers.WithEncodeSpecialTokens()) })
	return l.handle, l.err
}

// piece is a part of a text that begins and ends where a special token does, or the text itself.
type piece struct {
	text  string
	inert bool // it holds special tokens that are text, and no others
}

// cut takes a text apart where pieces that hold inert special tokens begin and end.
func cut(text string, specials []string, inert []int) []piece {
	var pieces []piece
	add := func(s string, isInert bool) {
		last := len(pieces) - 1
		switch {
		case s == "":
		case last >= 0 && !isInert && !pieces[last].inert:
			pieces[last].text += s
		default:
			pieces = append(pieces, piece{s, isInert})
		}
	}
	start, isInert := 0, false
	for i := 0; i < len(text); {
		length := longest(text[i:], specials)
		switch {
		case length == 0:
			i++
		case slices.Contains(inert, i):
			isInert = true
			i++
		default:
			add(text[start:i], isInert)
			add(text[i:i+length], false)
			i += length
			start, isInert = i, false
		}
	}
	add(text[start:], isInert)
	return pieces
}

// longest returns the length of the longest special token that text begins with, 0 if there is none.
func longest(text string, specials []string) int {
	n := 0
	for _, s := range specials {
		if len(s) > n && strings.HasPrefix(text, s) {
			n = len(s)
		}
	}
	return n
}
