package datasets

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// promptAlone makes a group without answers of a record.
func (c columns) promptAlone(rec record) (Group, error) {
	prompt, err := row{c, rec}.text("prompt")
	return Group{Prompt: prompt}, err
}

// checkPrompt tells whether a file has no column of prompts.
func (c columns) checkPrompt(names []string) error {
	if slices.Contains(names, c["prompt"]) {
		return nil
	}
	return fmt.Errorf("no column %s: the columns are %s; needed is prompt (--columns prompt=NAME takes another for it)", c["prompt"], strings.Join(names, ", "))
}

// Answers lists the columns that hold answers, and what is known of them: all that mean something to us, but for the prompt.
func (t *Table) Answers() []string {
	return slices.DeleteFunc(t.Columns(), func(name string) bool {
		return name == t.names["prompt"] || !t.names.wanted()[name]
	})
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
