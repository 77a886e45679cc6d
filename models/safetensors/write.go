package safetensors

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// Entry is a tensor to be written. Data holds its elements row-major, little-endian.
type Entry struct {
	Name  string
	DType string // as the format names it: "F32", "F16", "BF16", "F64", "I64", …
	Shape []int64
	Data  []byte
}

// Write writes tensors and metadata (nil for none) to path, byte for byte as the reference implementation does: widest
// element type first, then by name. A reader of path sees either the old file or the new one, whole and on disk.
func Write(path string, tensors []Entry, metadata map[string]string) error {
	if err := write(path, tensors, metadata); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func write(path string, tensors []Entry, metadata map[string]string) (err error) {
	tensors = slices.Clone(tensors)
	slices.SortStableFunc(tensors, func(a, b Entry) int {
		if d := rank(a.DType) - rank(b.DType); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	header, err := marshalHeader(tensors, metadata)
	if err != nil {
		return err
	}
	f, err := safefile.Create(path)
	if err != nil {
		return cause(err)
	}
	defer func() { err = errors.Join(err, f.Abort()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, t := range tensors {
		if _, err := w.Write(t.Data); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Commit()
}

// marshalHeader makes everything before the elements. Tensors are in the order of the file.
func marshalHeader(tensors []Entry, metadata map[string]string) ([]byte, error) {
	text := bytes.NewBuffer(make([]byte, 8))
	comma := byte('{')
	field := func(key string, value any) {
		text.WriteByte(comma)
		comma = ','
		text.Write(marshal(key))
		text.WriteByte(':')
		text.Write(marshal(value))
	}
	if metadata != nil {
		for k, v := range metadata {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, fmt.Errorf("metadata %q: %w: not UTF-8", k, ErrName)
			}
		}
		field(metadataKey, metadata)
	}
	names, at := map[string]bool{metadataKey: true}, int64(0)
	for _, t := range tensors {
		if err := t.check(names); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		names[t.Name] = true
		end := at + int64(len(t.Data))
		shape := t.Shape
		if shape == nil {
			shape = []int64{}
		}
		field(t.Name, struct {
			DType   string   `json:"dtype"`
			Shape   []int64  `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{t.DType, shape, [2]int64{at, end}})
		at = end
	}
	if comma == '{' {
		text.WriteByte('{')
	}
	text.WriteByte('}')
	for text.Len()%8 != 0 {
		text.WriteByte(' ')
	}
	out := text.Bytes()
	if len(out)-8 > maxHeader {
		return nil, ErrHeaderTooLong
	}
	binary.LittleEndian.PutUint64(out, uint64(len(out)-8))
	return out, nil
}

func (t Entry) check(taken map[string]bool) error {
	size, err := byteSize(t.DType, t.Shape)
	switch {
	case err != nil:
		return err
	case !utf8.ValidString(t.Name):
		return fmt.Errorf("%w: not UTF-8", ErrName)
	case t.Name == metadataKey:
		return fmt.Errorf("%w: it is the metadata's", ErrName)
	case taken[t.Name]:
		return ErrDuplicate
	case size != int64(len(t.Data)):
		return fmt.Errorf("%w: %s %v is %d bytes, there are %d", ErrSize, t.DType, t.Shape, size, len(t.Data))
	}
	return nil
}

// marshal writes JSON as the reference implementation does: <, > and & as they are. Strings, integers and maps of
// strings cannot fail.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
