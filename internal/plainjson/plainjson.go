// Package plainjson reads JSON that somebody else may have written, and refuses what encoding/json lets pass in silence.
//
//	err := plainjson.Unmarshal(text, &config)
//
// An object that names a field twice has two meanings, text that is no UTF-8 and half a surrogate pair become other text, and something behind
// the end is not looked at by a stream's reader. All of these are errors, which name the line; values nest 512 deep at most.
package plainjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep values may nest.
const maxDepth = 512

// Unmarshal decodes an object into v. Its errors are without the file's name.
func Unmarshal(text []byte, v any) error {
	if err := checkObject(text); err != nil {
		return err
	}
	return explain(text, json.Unmarshal(text, v))
}

// UnmarshalStrict is Unmarshal that refuses fields which v does not have.
func UnmarshalStrict(text []byte, v any) error {
	if err := checkObject(text); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return explain(text, d.Decode(v))
}

func checkObject(text []byte) error {
	if err := Check(text); err != nil {
		return err
	}
	if first := bytes.TrimLeft(text, " \t\r\n"); first[0] != '{' {
		return fmt.Errorf("it is %s, where an object {...} is needed", kind(first[0]))
	}
	return nil
}

// kind names a value by its first byte.
func kind(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// explain gives an error of encoding/json in the file's words.
func explain(text []byte, err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	place := "a value"
	if wrong.Field != "" {
		place = "field " + wrong.Field
	}
	return fmt.Errorf("line %d: %s is %s, where %s is needed", lineOf(text, int(wrong.Offset)), place, found(wrong.Value), needed(wrong.Type.Kind().String()))
}

// found names a value as encoding/json describes it.
func found(value string) string {
	switch value {
	case "object":
		return "an object"
	case "array":
		return "a list"
	case "bool":
		return "a boolean"
	}
	return "a " + value
}

// needed names what a Go type is read from.
func needed(kind string) string {
	switch kind {
	case "string":
		return "a string"
	case "bool":
		return "true or false"
	case "slice", "array":
		return "a list"
	case "map", "struct":
		return "an object"
	case "float64", "float32":
		return "a number"
	}
	return "a whole number of its size"
}

// Check refuses text that is no JSON of one meaning.
func Check(text []byte) error {
	if i := firstInvalid(text); i < len(text) {
		return fmt.Errorf("line %d: it is not valid UTF-8: convert the file to UTF-8", lineOf(text, i))
	}
	c := checker{text: text}
	if err := c.nesting(); err != nil {
		return err
	}
	if !json.Valid(text) {
		return syntax(text)
	}
	c.at = 0
	c.space()
	return c.value()
}

// syntax says where text ceases to be JSON.
func syntax(text []byte) error {
	var v any
	err := json.Unmarshal(text, &v)
	var s *json.SyntaxError
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return errors.New("it is empty")
	case errors.As(err, &s) && s.Offset >= int64(len(bytes.TrimRight(text, " \t\r\n"))) && errors.Is(decodeOne(text), io.ErrUnexpectedEOF):
		return errors.New("it is no JSON: it ends in the middle (was the file cut?)")
	case errors.As(err, &s):
		return fmt.Errorf("line %d: it is no JSON: %w", lineOf(text, int(s.Offset)), err)
	}
	return fmt.Errorf("it is no JSON: %w", err)
}

func decodeOne(text []byte) error {
	var v json.RawMessage
	return json.NewDecoder(bytes.NewReader(text)).Decode(&v)
}

// Duplicates refuses names that come twice in an object, and halves of surrogate pairs, in valid JSON.
func Duplicates(text []byte) error {
	c := checker{text: text}
	c.space()
	return c.value()
}

// checker walks JSON that is valid.
type checker struct {
	text []byte
	at   int
}

// nesting refuses values that nest too deep, whether the text is valid or not.
func (c *checker) nesting() error {
	depth := 0
	for ; c.at < len(c.text); c.at++ {
		switch c.text[c.at] {
		case '{', '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("line %d: values nest deeper than %d", lineOf(c.text, c.at), maxDepth)
			}
		case '}', ']':
			depth--
		case '"':
			c.skipString()
			c.at--
		}
	}
	return nil
}

// skipString passes over a string, and gives it with its quotes.
func (c *checker) skipString() []byte {
	start := c.at
	for c.at++; c.at < len(c.text); c.at++ {
		switch c.text[c.at] {
		case '\\':
			c.at++
		case '"':
			c.at++
			return c.text[start:c.at]
		}
	}
	c.at = len(c.text)
	return c.text[start:]
}

func (c *checker) space() {
	for c.at < len(c.text) {
		switch c.text[c.at] {
		case ' ', '\t', '\r', '\n':
			c.at++
		default:
			return
		}
	}
}

func (c *checker) value() error {
	switch c.text[c.at] {
	case '{':
		return c.object()
	case '[':
		return c.list()
	case '"':
		_, err := c.string()
		return err
	}
	for c.at < len(c.text) { // a number, true, false or null
		switch c.text[c.at] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return nil
		}
		c.at++
	}
	return nil
}

func (c *checker) list() error {
	c.at++
	c.space()
	for c.text[c.at] != ']' {
		if err := c.value(); err != nil {
			return err
		}
		c.space()
		if c.text[c.at] == ',' {
			c.at++
			c.space()
		}
	}
	c.at++
	return nil
}

func (c *checker) object() error {
	c.at++
	c.space()
	var few [8]string // most objects have few names
	names, many := few[:0], map[string]bool(nil)
	for c.text[c.at] != '}' {
		place := c.at
		name, err := c.string()
		if err != nil {
			return err
		}
		twice := many[name]
		for _, n := range names {
			twice = twice || n == name
		}
		switch {
		case twice:
			return fmt.Errorf("line %d: the name %.100q comes twice in an object", lineOf(c.text, place), name)
		case many != nil:
			many[name] = true
		case len(names) < len(few):
			names = append(names, name)
		default:
			many = map[string]bool{name: true}
			for _, n := range names {
				many[n] = true
			}
			names = nil
		}
		c.space()
		c.at++ // the colon
		c.space()
		if err := c.value(); err != nil {
			return err
		}
		c.space()
		if c.text[c.at] == ',' {
			c.at++
			c.space()
		}
	}
	c.at++
	return nil
}

// string passes over a string and decodes it.
func (c *checker) string() (string, error) {
	place := c.at
	quoted := c.skipString()
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	if half := HalfPair(quoted); half != "" {
		return "", fmt.Errorf("line %d: %s is half of a surrogate pair: remove it, or write the character whole", lineOf(c.text, place), half)
	}
	var s string
	err := json.Unmarshal(quoted, &s)
	return s, err
}

// HalfPair finds an escape such as \ud83d that has no other half, which decoding would replace in silence; "" if there is none.
func HalfPair(text []byte) string {
	if !bytes.Contains(text, []byte(`\u`)) {
		return ""
	}
	for i := 0; i+6 <= len(text); i++ {
		switch {
		case text[i] != '\\':
		case text[i+1] != 'u':
			i++ // what is escaped is no escape itself
		default:
			first := escaped(text[i:])
			if !utf16.IsSurrogate(first) {
				continue
			}
			if utf16.DecodeRune(first, escaped(text[i+6:])) == utf8.RuneError {
				return string(text[i : i+6])
			}
			i += 11
		}
	}
	return ""
}

// escaped is the code unit of the escape that text begins with; 0 if it begins with none.
func escaped(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(unit)
}

func firstInvalid(text []byte) int {
	if utf8.Valid(text) {
		return len(text)
	}
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(text)
}

func lineOf(text []byte, at int) int { return 1 + bytes.Count(text[:min(at, len(text))], []byte("\n")) }
