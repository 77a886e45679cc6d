package datasets

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"unicode/utf8"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

func init() { register(jsonArray{}, ".json") }

// jsonArray reads a file that is one JSON array of objects. A file that starts with an
// object is taken for JSON Lines: many are named .json.
type jsonArray struct{}

func (jsonArray) records(path string, want func(columns []string) map[string]bool) iter.Seq2[record, error] {
	return recordsOf(arrayObjects(path), path, want)
}

func (jsonArray) table(path string) (tableFile, error) { return newJSONTable(path, arrayObjects) }

// recordsOf decodes the wanted fields of a file's objects.
func recordsOf(objects iter.Seq2[object, error], path string, want func(columns []string) map[string]bool) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for o, err := range objects {
			var rec record
			if err == nil {
				rec, err = o.record(path, want(o.names))
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// object is one row of JSON: its fields in order, values as they are in the file.
type object struct {
	row, line int64
	names     []string
	raw       map[string]json.RawMessage
}

// record decodes the wanted fields.
func (o object) record(path string, want map[string]bool) (record, error) {
	rec := record{row: o.row, line: o.line, columns: o.names, values: map[string]any{}, json: func(column string) json.RawMessage { return o.raw[column] }}
	for name, raw := range o.raw {
		if !want[name] {
			continue
		}
		var v any
		err := plainjson.Duplicates(raw)
		if err == nil {
			err = json.Unmarshal(raw, &v)
		}
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			err = fmt.Errorf("the %s is too large", wrong.Value)
		}
		if err != nil {
			return record{}, &RowError{File: path, Row: o.row, Line: o.line, Err: fmt.Errorf("column %s: %w", name, err)}
		}
		rec.values[name] = v
	}
	return rec, nil
}

// parseObject splits a JSON object into its fields, of which none may come twice.
func parseObject(data []byte) (object, error) {
	if !utf8.Valid(data) {
		return object{}, errors.New("not valid UTF-8: convert the file to UTF-8")
	}
	if half := plainjson.HalfPair(data); half != "" {
		return object{}, fmt.Errorf("not valid Unicode: %s is half of a surrogate pair: remove it, or write the character whole", half)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	start, err := dec.Token()
	if err != nil {
		return object{}, syntax(err)
	}
	if start != json.Delim('{') {
		return object{}, errors.New("not a JSON object: each row is to be {\"prompt\": ..., ...}")
	}
	o := object{raw: map[string]json.RawMessage{}}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return object{}, syntax(err)
		}
		name, ok := key.(string)
		if !ok {
			return object{}, fmt.Errorf("not JSON: %v where the name of a field should be", key)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return object{}, syntax(err)
		}
		if _, twice := o.raw[name]; twice {
			return object{}, fmt.Errorf("the column %.100q comes twice in the row", name)
		}
		o.names = append(o.names, name)
		o.raw[name] = raw
	}
	if _, err := dec.Token(); err != nil {
		return object{}, syntax(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return object{}, errors.New("not JSON Lines: something follows the object")
	}
	return o, nil
}

func syntax(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("not JSON: it ends in the middle (was the file cut?)")
	}
	return fmt.Errorf("not JSON: %w", err)
}

// arrayObjects streams the objects of a JSON array.
func arrayObjects(path string) iter.Seq2[object, error] {
	return func(yield func(object, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(object{}, fmt.Errorf("reading data: %w", err))
			return
		}
		defer f.Close()
		r := bufio.NewReaderSize(f, 1<<20)
		first, err := firstByte(r)
		if err != nil {
			yield(object{}, fmt.Errorf("reading %s: %w", path, err))
			return
		}
		if first == '{' {
			scanLines(path, r, yield)
			return
		}
		if err := scanArray(path, r, yield); err != nil {
			yield(object{}, fmt.Errorf("reading %s: %w", path, err))
		}
	}
}

// scanArray yields the objects of an array; an error ends it.
func scanArray(path string, r io.Reader, yield func(object, error) bool) error {
	dec := json.NewDecoder(r)
	if start, err := dec.Token(); err != nil {
		return syntax(err)
	} else if start != json.Delim('[') {
		return errors.New("not a JSON array of objects, nor JSON Lines")
	}
	for row := int64(0); dec.More(); row++ {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return fmt.Errorf("row %d: %w", row, syntax(err))
		}
		o, err := parseObject(raw)
		o.row = row
		if err != nil {
			err = &RowError{File: path, Row: row, Err: err}
		}
		if !yield(o, err) {
			return nil
		}
	}
	if _, err := dec.Token(); err != nil {
		return syntax(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the array")
	}
	return nil
}

// firstByte skips a byte order mark and white space, and returns the byte that follows without taking it.
func firstByte(r *bufio.Reader) (byte, error) {
	if mark, _ := r.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		r.Discard(3)
	}
	for {
		b, err := r.ReadByte()
		if err == io.EOF {
			return 0, errors.New("the file is empty")
		}
		if err != nil {
			return 0, err
		}
		if b != ' ' && b != '\t' && b != '\n' && b != '\r' {
			return b, r.UnreadByte()
		}
	}
}
