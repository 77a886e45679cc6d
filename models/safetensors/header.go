package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// info is a tensor's entry in the header.
type info struct {
	name       string
	dtype      string
	shape      []int64
	begin, end int64
}

// parseHeader reads a header and checks that its tensors fill size bytes exactly. Tensors come in the order of the file.
func parseHeader(header []byte, size int64) ([]info, map[string]string, error) {
	if !utf8.Valid(header) {
		return nil, nil, fmt.Errorf("%w: not UTF-8", ErrHeader)
	}
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, fmt.Errorf("%w: it does not begin with {", ErrHeader)
	}
	p := parser{json.NewDecoder(bytes.NewReader(header))}
	p.UseNumber()
	tensors, metadata, err := p.header()
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(tensors, func(a, b info) int {
		if a.begin != b.begin {
			return cmp64(a.begin, b.begin)
		}
		return cmp64(a.end, b.end)
	})
	return tensors, metadata, checkLayout(tensors, size)
}

func cmp64(a, b int64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// checkLayout checks that tensors, in the order of their offsets, follow each other without holes up to size.
func checkLayout(tensors []info, size int64) error {
	at := int64(0)
	for _, t := range tensors {
		switch {
		case t.begin < at:
			return fmt.Errorf("tensor %s: %w: it begins at byte %d, where another ends at %d", t.name, ErrOverlap, t.begin, at)
		case t.begin > at:
			return fmt.Errorf("tensor %s: %w: %d to %d", t.name, ErrHole, at, t.begin)
		case t.end > size:
			return fmt.Errorf("tensor %s: %w: it ends at byte %d of %d", t.name, ErrTruncated, t.end, size)
		}
		at = t.end
	}
	if at < size {
		return fmt.Errorf("%w: by %d bytes", ErrOverlong, size-at)
	}
	return nil
}

// check compares a tensor's shape with its bytes.
func (t info) check() error {
	want, err := byteSize(t.dtype, t.shape)
	switch {
	case err != nil:
		return fmt.Errorf("tensor %s: %w", t.name, err)
	case t.end < t.begin:
		return fmt.Errorf("tensor %s: %w: [%d, %d]", t.name, ErrOffsets, t.begin, t.end)
	case t.end-t.begin != want:
		return fmt.Errorf("tensor %s: %w: %s %v is %d bytes, data_offsets [%d, %d] are %d", t.name, ErrSize, t.dtype, t.shape, want, t.begin, t.end, t.end-t.begin)
	}
	return nil
}

// byteSize is the number of bytes of a tensor.
func byteSize(dtype string, shape []int64) (int64, error) {
	r := rank(dtype)
	if r < 0 {
		return 0, fmt.Errorf("%w %q", ErrDType, dtype)
	}
	n, overflow := dtypes[r].bits, false
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("%w: shape %v", ErrHeader, shape)
		}
		// A later 0 makes the tensor empty, but the reference implementation refuses an overflow before it too.
		overflow = overflow || d > 0 && n > math.MaxInt64/d
		n *= d
	}
	switch {
	case overflow:
		return 0, fmt.Errorf("%w: %s %v", ErrOverflow, dtype, shape)
	case n%8 != 0:
		return 0, fmt.Errorf("%w: %s %v is not a whole number of bytes", ErrSize, dtype, shape)
	}
	return n / 8, nil
}

// parser walks the JSON token by token: unlike decoding into a map, it sees names that come twice.
type parser struct{ *json.Decoder }

func (p parser) header() (tensors []info, metadata map[string]string, err error) {
	names := map[string]bool{}
	err = p.object(func(name string) (err error) {
		if names[name] {
			return fmt.Errorf("%w: %q", ErrDuplicate, name)
		}
		names[name] = true
		if name == metadataKey {
			metadata, err = p.metadata()
			return err
		}
		t, err := p.tensor(name)
		tensors = append(tensors, t)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := p.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("%w: it goes on after the closing }", ErrHeader)
	}
	return tensors, metadata, nil
}

func (p parser) tensor(name string) (info, error) {
	t := info{name: name}
	var offsets []int64
	seen := map[string]bool{}
	err := p.object(func(field string) (err error) {
		if seen[field] {
			return fmt.Errorf("%w: field %q", ErrDuplicate, field)
		}
		seen[field] = true
		switch field {
		case "dtype":
			t.dtype, err = p.text()
		case "shape":
			t.shape, err = p.integers()
		case "data_offsets":
			offsets, err = p.integers()
		default:
			err = fmt.Errorf("%w: unknown field %q", ErrHeader, field)
		}
		return err
	})
	switch {
	case err != nil:
		return t, fmt.Errorf("tensor %s: %w", name, err)
	case len(seen) < 3:
		return t, fmt.Errorf("tensor %s: %w: it needs dtype, shape and data_offsets", name, ErrHeader)
	case len(offsets) != 2:
		return t, fmt.Errorf("tensor %s: %w: data_offsets are %d numbers, not 2", name, ErrHeader, len(offsets))
	}
	t.begin, t.end = offsets[0], offsets[1]
	return t, t.check()
}

func (p parser) metadata() (map[string]string, error) {
	out := map[string]string{}
	err := p.object(func(key string) error {
		if _, twice := out[key]; twice {
			return fmt.Errorf("%w: %q", ErrDuplicate, key)
		}
		value, err := p.text()
		out[key] = value
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", metadataKey, err)
	}
	return out, nil
}

// object reads an object; field reads the value of each key.
func (p parser) object(field func(key string) error) error {
	if err := p.delim('{'); err != nil {
		return err
	}
	for p.More() {
		key, err := p.text()
		if err != nil {
			return err
		}
		if err := field(key); err != nil {
			return err
		}
	}
	return p.delim('}')
}

func (p parser) integers() ([]int64, error) {
	if err := p.delim('['); err != nil {
		return nil, err
	}
	out := []int64{}
	for p.More() {
		token, err := p.token()
		if err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%w: %v where a number should be", ErrHeader, token)
		}
		n, err := strconv.ParseUint(number.String(), 10, 63)
		if errors.Is(err, strconv.ErrRange) {
			return nil, fmt.Errorf("%w: %s", ErrOverflow, number)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s where a whole number should be", ErrHeader, number)
		}
		out = append(out, int64(n))
	}
	return out, p.delim(']')
}

func (p parser) text() (string, error) {
	token, err := p.token()
	if err != nil {
		return "", err
	}
	s, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%w: %v where a string should be", ErrHeader, token)
	}
	return s, nil
}

func (p parser) delim(want json.Delim) error {
	token, err := p.token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%w: %v where %v should be", ErrHeader, token, want)
	}
	return nil
}

func (p parser) token() (json.Token, error) {
	token, err := p.Token()
	if err != nil {
		return nil, fmt.Errorf("%w: at its byte %d: %w", ErrHeader, p.InputOffset(), err)
	}
	return token, nil
}
