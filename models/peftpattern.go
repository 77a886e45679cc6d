package models

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"regexp"
)

// patterns are values for modules, by expressions for the ends of their names, in the file's order: the first that is of a module counts, as in
// PEFT.
type patterns[T any] struct {
	keys   []*regexp.Regexp
	names  []string // the keys as the file has them
	values []T
}

// UnmarshalJSON reads an object in its order.
func (p *patterns[T]) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.New("an object is needed")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var value T
		if err := d.Decode(&value); err != nil {
			return err
		}
		name := key.(string) // as the decoder promises of an object's keys
		of, err := regexp.Compile(`^(.*\.)?(` + name + `)$`)
		if err != nil {
			return fmt.Errorf("%q is no expression that is known here: %w", name, err)
		}
		p.keys, p.names, p.values = append(p.keys, of), append(p.names, name), append(p.values, value)
	}
	return nil
}

// all are the keys as the file has them, with their values.
func (p *patterns[T]) all() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for i, name := range p.names {
			if !yield(name, p.values[i]) {
				return
			}
		}
	}
}

// of is the value for a module, or other where none is meant for it.
func (p *patterns[T]) of(module string, other T) T {
	for i, key := range p.keys {
		if key.MatchString(module) {
			return p.values[i]
		}
	}
	return other
}

// unmatched are the keys that are of none of the modules: PEFT passes over them.
func (p *patterns[T]) unmatched(modules map[string]LowRank) (names []string) {
	for i, key := range p.keys {
		meant := false
		for module := range modules {
			meant = meant || key.MatchString(module)
		}
		if !meant {
			names = append(names, p.names[i])
		}
	}
	return names
}
