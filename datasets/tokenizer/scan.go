package tokenizer

import (
	"errors"
	"fmt"
)

// A tokenizer.json has megabytes of vocabulary and merges, which Rust reads anyway. So that
// loading does not read them twice, a scanner only finds where the values of an
// object or a list lie, and leaves it to others whether they are well formed.
type scanner struct {
	data []byte
	i    int
}

// maxDepth is how deep values may nest. Rust's reader has a bound too (128), and ends the process at it.
const maxDepth = 64

var errCut = errors.New("not JSON: it ends in the middle (was the file cut?)")

// each calls f for the entries of the object or list that data is. Names are quoted as they are in data, and nil in a list.
func each(data []byte, f func(name, value []byte) error) error {
	s := scanner{data: data}
	open := s.peek()
	if open != '{' && open != '[' {
		return errors.New("not JSON: neither an object nor a list")
	}
	end := open + 2 // so in ASCII
	s.i++
	for first := true; s.peek() != end; first = false {
		if !first {
			if err := s.expect(','); err != nil {
				return err
			}
		}
		var name []byte
		var err error
		if open == '{' {
			if name, err = s.name(); err != nil {
				return err
			}
		}
		value, err := s.value()
		if err != nil {
			return err
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
	s.i++
	if s.peek(); s.i < len(data) {
		return fmt.Errorf("not JSON: something follows the end, at byte %d", s.i)
	}
	return nil
}

// peek skips white space and returns the byte there, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.i < len(s.data); s.i++ {
		switch c := s.data[s.i]; c {
		case ' ', '\n', '\t', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte) error {
	if got := s.peek(); got == c {
		s.i++
		return nil
	}
	if s.i >= len(s.data) {
		return errCut
	}
	return fmt.Errorf("not JSON: %q at byte %d, where %q should be", s.data[s.i], s.i, c)
}

// name takes a quoted name and the colon after it.
func (s *scanner) name() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.expect('"')
	}
	start := s.i
	if err := s.skipString(); err != nil {
		return nil, err
	}
	name := s.data[start:s.i]
	return name, s.expect(':')
}

// value takes a value.
func (s *scanner) value() ([]byte, error) {
	s.peek()
	start := s.i
	for depth := 0; s.i < len(s.data); {
		switch c := s.data[s.i]; c {
		case '"':
			if err := s.skipString(); err != nil {
				return nil, err
			}
		case '{', '[':
			if depth++; depth > maxDepth {
				return nil, fmt.Errorf("values nest deeper than %d", maxDepth)
			}
			s.i++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return nil, fmt.Errorf("not JSON: %q at byte %d, where a value should be", c, s.i)
			}
			s.i++
		case ',', ':', ' ', '\n', '\t', '\r':
			s.i++
		default:
			s.skipWord()
		}
		if depth == 0 {
			return s.data[start:s.i], nil
		}
	}
	return nil, errCut
}

func (s *scanner) skipString() error {
	for s.i++; s.i < len(s.data); s.i++ {
		switch s.data[s.i] {
		case '\\':
			s.i++
		case '"':
			s.i++
			return nil
		}
	}
	return errCut
}

// skipWord passes over a number, true, false or null.
func (s *scanner) skipWord() {
	for s.i++; s.i < len(s.data); s.i++ {
		switch s.data[s.i] {
		case ',', ':', '}', ']', '{', '[', '"', ' ', '\n', '\t', '\r':
			return
		}
	}
}
