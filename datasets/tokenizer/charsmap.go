package tokenizer

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

var errCharsmap = errors.New("it is damaged")

// checkCharsmap follows the normalization table of a SentencePiece model, base64 of: the
// length in bytes of a double array, the array of 32-bit units, and the texts that units refer to. Rust
// follows it without checks.
//
// A unit is a node of a trie (github.com/s-yata/darts-clone). From node i, byte c leads to node i ^ offset ^ c; where
// the unit says that a key ends, node i ^ offset holds the place of its text.
func checkCharsmap(v any) error {
	s, ok := v.(string)
	if !ok {
		return errors.New("it is no string")
	}
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return errCharsmap
	}
	if len(data) < 4 {
		return errCharsmap
	}
	size := int(binary.LittleEndian.Uint32(data)) / 4 * 4
	if size == 0 || size > len(data)-4 {
		return errCharsmap
	}
	units, texts := data[4:4+size], data[4+size:]
	if !utf8.Valid(texts) {
		return errCharsmap
	}
	n := size / 4
	unit := func(i int) uint32 { return binary.LittleEndian.Uint32(units[4*i:]) }
	for i := range n {
		u := unit(i)
		if u>>31 == 1 {
			continue // a value, at which no byte arrives
		}
		next := i ^ int(u>>10)<<((u&(1<<9))>>6)
		if next|0xff >= n {
			return errCharsmap
		}
		if u>>8&1 == 1 {
			place := int(unit(next) & (1<<31 - 1))
			if place > len(texts) || place < len(texts) && !utf8.RuneStart(texts[place]) {
				return errCharsmap
			}
		}
	}
	return nil
}
