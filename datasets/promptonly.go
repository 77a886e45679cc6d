package datasets

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// promptAlone makes a group without answers of a record.
func (c columns) promptAlone(rec record) (Group, error) {
	r, err := row{c, rec}.asking()
	if err != nil {
		return Group{}, err
	}
	prompt, err := r.text("prompt")
	return Group{Prompt: prompt}, err
}

// checkPrompt tells whether a file has no column of prompts.
func (c columns) checkPrompt(names []string) error {
	if c.there(names, "prompt") || slices.ContainsFunc(askedColumns, func(ours string) bool { return c.there(names, ours) }) {
		return nil
	}
	return fmt.Errorf("no column %s: the columns are %s; needed is prompt (--columns prompt=NAME takes another for it)", c["prompt"], strings.Join(names, ", "))
}

// Answers lists the columns that hold answers, and what is known of them: all that mean something to us, but for the prompt.
func (t *Table) Answers() []string {
	names := t.Columns()
	answers, prompt := slices.Clone(known), []string{"prompt"}
	if !t.names.there(names, "prompt") {
		prompt = askedColumns
	}
	for _, l := range t.names.fitting(names) {
		if l.ours != nil {
			answers = append(answers, l.columns()...)
		}
	}
	of := func(ours []string, name string) bool {
		return slices.ContainsFunc(ours, func(o string) bool { return t.names[o] == name })
	}
	return slices.DeleteFunc(names, func(name string) bool { return of(prompt, name) || !of(answers, name) })
}

// EncodePrompt returns the ids of a prompt that an answer is to follow, without what the tokenizer adds at the end by itself.
func EncodePrompt(tok Tokenizer, prompt Text) ([]int32, error) {
	if prompt.Messages != nil {
		return nil, ErrMessages
	}
	ids, ends, err := tok.Encode(prompt.String)
	if err != nil {
		return nil, err
	}
	n := len(ids)
	for n > 0 && ends[n-1] < 0 && prompt.String != "" {
		n--
	}
	if n == 0 {
		return nil, errors.New("the prompt is empty, and the tokenizer puts no token before it")
	}
	return ids[:n], nil
}
