package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

// A spec is a tokenizer.json, taken apart. Rust ends the whole process, with no error, at
// some broken files, so all but the large lists is decoded, checked and written anew.
type spec struct {
	parts map[string]any    // the fields of the file but for model
	model map[string]any    // the fields of model but for the lists
	lists map[string][]byte // vocab and merges, of model, as in the file
	vocab vocabulary
}

// fields are all that tokenizers reads; others are dropped.
var fields = []string{"version", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"}

func readSpec(data []byte) (*spec, error) {
	s := &spec{parts: map[string]any{}, model: map[string]any{}, lists: map[string][]byte{}}
	sections, err := object(data)
	if err != nil {
		return nil, err
	}
	if sections["model"] == nil {
		return nil, errors.New("it has no model")
	}
	for _, name := range fields {
		if s.parts[name], err = decode(sections[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := s.readModel(sections["model"]); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if added := sections["added_tokens"]; added != nil && s.parts["added_tokens"] == nil {
		delete(sections, "added_tokens") // null
	}
	if s.vocab, err = readVocabulary(s.lists["vocab"], sections["added_tokens"]); err != nil {
		return nil, err
	}
	return s, s.check()
}

func (s *spec) readModel(data []byte) error {
	sections, err := object(data)
	if err != nil {
		return err
	}
	for name, section := range sections {
		if name == "vocab" || name == "merges" {
			s.lists[name] = section
		} else if s.model[name], err = decode(section); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if s.lists["vocab"] == nil {
		return errors.New("it has no vocab")
	}
	if kind, given := s.model["type"]; given && !slices.Contains(modelTypes, fmt.Sprint(kind)) {
		return fmt.Errorf("its type is %v: %s are known", kind, strings.Join(modelTypes, ", "))
	}
	return nil
}

// modelTypes are those of tokenizers; files of its first versions do not name theirs.
var modelTypes = []string{"BPE", "Unigram", "WordLevel", "WordPiece"}

// object returns the fields of a JSON object as they are.
func object(data []byte) (map[string][]byte, error) {
	if len(bytes.TrimLeft(data, " \n\t\r")) == 0 || bytes.TrimLeft(data, " \n\t\r")[0] != '{' {
		return nil, errors.New("not a JSON object")
	}
	sections := map[string][]byte{}
	err := each(data, func(name, value []byte) error {
		var s string
		if err := json.Unmarshal(name, &s); err != nil || !utf8.Valid(name) || plainjson.HalfPair(name) != "" {
			return fmt.Errorf("not JSON: the name %.100q", name)
		}
		if sections[s] != nil {
			return fmt.Errorf("the name %.100q comes twice", s)
		}
		sections[s] = value
		return nil
	})
	return sections, err
}

// decode reads a section and refuses what Rust could not: writing it anew leaves nothing else
// that it stumbles over. A NUL in an error message of Rust's would end the process.
func decode(section []byte) (any, error) {
	if section == nil {
		return nil, nil
	}
	if err := plainjson.Check(section); err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(section, &tree); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if nul := find(tree, func(v any) bool { s, ok := v.(string); return ok && strings.IndexByte(s, 0) >= 0 }); nul {
		return nil, errors.New("it holds a NUL character")
	}
	return tree, nil
}

// find reports whether f holds for a value of a tree, or for a name in it.
func find(tree any, f func(any) bool) bool {
	if f(tree) {
		return true
	}
	switch v := tree.(type) {
	case map[string]any:
		for name, sub := range v {
			if f(name) || find(sub, f) {
				return true
			}
		}
	case []any:
		for _, sub := range v {
			if find(sub, f) {
				return true
			}
		}
	}
	return false
}

// objects calls f for every object of a tree.
func objects(tree any, f func(map[string]any)) {
	find(tree, func(v any) bool {
		if o, ok := v.(map[string]any); ok {
			f(o)
		}
		return false
	})
}

// check refuses what makes Rust end the process when it loads or decodes.
func (s *spec) check() error {
	var errs []error
	objects(s.parts["normalizer"], func(o map[string]any) {
		if charsmap, ok := o["precompiled_charsmap"]; ok || o["type"] == "Precompiled" {
			if err := checkCharsmap(charsmap); err != nil {
				errs = append(errs, fmt.Errorf("normalizer: precompiled_charsmap: %w", err))
			}
		}
	})
	objects(s.parts["decoder"], func(o map[string]any) {
		if stop, ok := o["stop"].(float64); ok && stop > 0 {
			errs = append(errs, errors.New("decoder: a Strip that cuts at the end cannot be run safely"))
		}
	})
	objects(s.parts["post_processor"], func(o map[string]any) {
		if err := s.checkTemplate(o); err != nil {
			errs = append(errs, fmt.Errorf("post_processor: %w", err))
		}
	})
	if err := s.checkMerges(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkTemplate refuses a template that puts in tokens which it does not define, or which are not in the vocabulary: Rust finds that out at the
// first text.
func (s *spec) checkTemplate(o map[string]any) error {
	if o["type"] != "TemplateProcessing" {
		return nil
	}
	defined, _ := o["special_tokens"].(map[string]any)
	for name, token := range defined {
		t, _ := token.(map[string]any)
		ids, _ := t["ids"].([]any)
		for _, id := range ids {
			if n, ok := id.(float64); !ok || n < 0 || n >= float64(s.vocab.size) {
				return fmt.Errorf("the special token %.100q has the id %v, outside the vocabulary of %d", name, id, s.vocab.size)
			}
		}
	}
	for _, template := range []string{"single", "pair"} {
		pieces, _ := o[template].([]any)
		for _, piece := range pieces {
			p, _ := piece.(map[string]any)
			token, is := p["SpecialToken"].(map[string]any)
			if name, _ := token["id"].(string); is && defined[name] == nil {
				return fmt.Errorf("its template %s puts in %.100q, which its special_tokens do not define", template, name)
			}
		}
	}
	return nil
}

// checkMerges refuses merges that hold a NUL, and those whose second half is shorter than the
// prefix that is to be cut from it.
func (s *spec) checkMerges() error {
	merges := s.lists["merges"]
	if hasNUL(merges) {
		return errors.New("model: merges hold a NUL character")
	}
	prefix, _ := s.model["continuing_subword_prefix"].(string)
	if merges == nil || string(merges) == "null" {
		return nil
	}
	if merges[0] != '[' {
		return fmt.Errorf("model: merges are %.20s: a list is needed", merges)
	}
	seen := map[string]bool{}
	return each(merges, func(_, value []byte) error {
		spelt, err := pairOf(value)
		if err != nil {
			return fmt.Errorf("model: merge %d: %w", len(seen), err)
		}
		if seen[spelt] {
			return fmt.Errorf("model: merge %d: %.100s comes twice", len(seen), value)
		}
		seen[spelt] = true
		if prefix == "" {
			return nil
		}
		var pair [2]string
		var joined string
		if json.Unmarshal(value, &joined) == nil {
			pair[0], pair[1], _ = strings.Cut(joined, " ")
		} else if err := json.Unmarshal(value, &pair); err != nil {
			return fmt.Errorf("model: the merge %.100s is no pair", value)
		}
		if b := pair[1]; len(b) < len(prefix) || len(b) > len(prefix) && !utf8.RuneStart(b[len(prefix)]) {
			return fmt.Errorf("model: the merge %.100s lacks continuing_subword_prefix %q", value, prefix)
		}
		return nil
	})
}

// pairOf gives a merge as "a b", in the spelling that it has in the file: either of its two forms.
func pairOf(value []byte) (string, error) {
	bad := fmt.Errorf("it is %.100s, where a pair of tokens is needed", value)
	switch value[0] {
	case '"':
		pair := string(value[1 : len(value)-1])
		if strings.Count(pair, " ") != 1 {
			return "", bad
		}
		return pair, nil
	case '[':
		var pair []string
		err := each(value, func(_, token []byte) error {
			if token[0] != '"' {
				return bad
			}
			pair = append(pair, string(token[1:len(token)-1]))
			return nil
		})
		if err == nil && len(pair) != 2 {
			err = bad
		}
		return strings.Join(pair, " "), err
	}
	return "", bad
}

// hasNUL reports whether a string in JSON holds an escaped NUL.
func hasNUL(data []byte) bool {
	escape := []byte(`\u0000`)
	for {
		i := bytes.Index(data, escape)
		if i < 0 {
			return false
		}
		n := 0
		for n < i && data[i-1-n] == '\\' {
			n++
		}
		if n%2 == 0 {
			return true
		}
		data = data[i+1:]
	}
}

// marshal writes the tokenizer.json that Rust reads. It differs from the file in what leaves
// the ids as they are with transformers: no truncation or padding; offsets that are not
// trimmed (those of GPT-2 leave out the space of a token, so that one that spans the border
// to a completion would seem to end before it); and no dropout of merges, which is random and
// for training. Of a piece that comes later in a text, no word gets the mark of a space that some
// tokenizers put before the first.
func (s *spec) marshal(later bool) ([]byte, error) {
	objects(s.parts["post_processor"], func(o map[string]any) {
		if _, ok := o["trim_offsets"]; ok {
			o["trim_offsets"] = false
		}
	})
	var changed []map[string]any
	objects(s.parts["pre_tokenizer"], func(o map[string]any) {
		if later && o["prepend_scheme"] == "first" {
			o["prepend_scheme"] = "never"
			changed = append(changed, o)
		}
	})
	defer func() {
		for _, o := range changed {
			o["prepend_scheme"] = "first"
		}
	}()
	delete(s.model, "dropout")
	var b bytes.Buffer
	b.WriteByte('{')
	for _, name := range fields {
		if part := s.parts[name]; part != nil {
			if err := writeField(&b, name, part); err != nil {
				return nil, err
			}
		}
	}
	b.WriteString(`"model":{`)
	for _, name := range slices.Sorted(maps.Keys(s.model)) {
		if err := writeField(&b, name, s.model[name]); err != nil {
			return nil, err
		}
	}
	if merges := s.lists["merges"]; merges != nil {
		b.WriteString(`"merges":`)
		b.Write(merges)
		b.WriteByte(',')
	}
	b.WriteString(`"vocab":`)
	b.Write(s.lists["vocab"])
	b.WriteString("}}")
	return b.Bytes(), nil
}

func writeField(b *bytes.Buffer, name string, part any) error {
	data, err := json.Marshal(part)
	if err != nil {
		return err
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "%s:%s,", quoted, data)
	return nil
}
