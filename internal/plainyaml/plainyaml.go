// Package plainyaml reads settings from YAML that somebody else may have written.
//
//	err := plainyaml.Unmarshal(text, &config, yaml.Strict())
//
// The YAML is plain: one document of mappings, lists and values, of at most 1 MiB. Anchors, aliases and tags are refused, since a few lines
// of them stand for any amount of memory, and so is nesting deeper than 64, at which a reader that follows it by recursion would fill the stack. A
// panic of the YAML library, which it has for some broken text, is an error.
package plainyaml

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

const (
	maxBytes = 1 << 20
	maxDepth = 64
)

// Unmarshal decodes a text into v. Errors name the line, and are without the file's name.
func Unmarshal(text []byte, v any, options ...yaml.DecodeOption) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it is not YAML that can be read (%v)", p)
		}
	}()
	if err := check(text); err != nil {
		return err
	}
	if err := yaml.UnmarshalWithOptions(text, v, options...); err != nil {
		return errors.New(strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return err
	}
	return whole("", tree, reflect.TypeOf(v))
}

// whole refuses a fraction, or a number too large, where t has a whole number: the library drops what does not fit.
func whole(path string, tree any, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch tree := tree.(type) {
	case float64:
		if t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 {
			return fmt.Errorf("%s is %v: a whole number is needed", path, tree)
		}
	case string: // of a number of more than 64 bits, or in quotes
		if _, err := strconv.ParseInt(tree, 0, 64); err != nil && t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 {
			return fmt.Errorf("%s is %.40s: a whole number of at most 64 bits is needed", path, tree)
		}
	case uint64:
		if t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64 && tree > math.MaxInt64 {
			return fmt.Errorf("%s is %d, which is too large", path, tree)
		}
	case []any:
		for i, x := range tree {
			if t.Kind() != reflect.Slice {
				return nil
			}
			if err := whole(fmt.Sprintf("%s[%d]", path, i), x, t.Elem()); err != nil {
				return err
			}
		}
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return nil
		}
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
			if x, there := tree[name]; there {
				if err := whole(strings.TrimPrefix(path+"."+name, "."), x, t.Field(i).Type); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// check refuses text that is not plain.
func check(text []byte) error {
	switch {
	case len(text) > maxBytes:
		return fmt.Errorf("it has %d bytes, more than the %d of settings: is it another file?", len(text), maxBytes)
	case !utf8.Valid(text):
		return fmt.Errorf("line %d is not valid UTF-8", lineOf(text, firstInvalid(text)))
	case bytes.IndexByte(text, 0) >= 0:
		return fmt.Errorf("line %d has a NUL byte: it is no text", lineOf(text, bytes.IndexByte(text, 0)))
	}
	flow, line, entries := 0, 0, 0
	for i, t := range lexer.Tokenize(string(text)) {
		if t.Position.Line != line {
			line, entries = t.Position.Line, 0
		}
		refused := ""
		switch t.Type {
		case token.AnchorType:
			refused = "an anchor"
		case token.AliasType:
			refused = "an alias"
		case token.TagType:
			refused = "a tag"
		case token.MergeKeyType:
			refused = "a merge key"
		case token.DirectiveType:
			refused = "a directive"
		case token.DocumentHeaderType:
			if i > 0 {
				refused = "a second document"
			}
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType:
			entries++
		}
		if refused != "" {
			return fmt.Errorf("line %d has %s (%.40s): settings are one document, written out", line, refused, strings.TrimSpace(t.Origin))
		}
		if flow > maxDepth || entries > maxDepth || t.Position.IndentNum > 2*8*maxDepth {
			return fmt.Errorf("line %d nests deeper than %d", line, maxDepth)
		}
	}
	return nil
}

func firstInvalid(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(text)
}

func lineOf(text []byte, at int) int { return 1 + bytes.Count(text[:at], []byte("\n")) }
