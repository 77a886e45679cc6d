package datasets

import (
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
	return r.beside(Group{Prompt: prompt}, err)
}

// checkPrompt tells whether a file has no column of prompts.
func (c columns) checkPrompt(names []string) error {
	if c.there(names, "prompt") || slices.ContainsFunc(askedColumns, func(ours string) bool { return c.there(names, ours) }) {
		return nil
	}
	return fmt.Errorf("no column %s: the columns are %s; needed is prompt (--columns prompt=NAME takes another for it), or instruction, conversations or messages", c["prompt"], strings.Join(names, ", "))
}

// Asking lists the columns that make a prompt, with what stands beside it, as the table has them.
func (t *Table) Asking() []string {
	ours := []string{"prompt", "system", "tools"}
	if !t.names.there(t.Columns(), "prompt") {
		ours = append(ours, askedColumns...)
	}
	return slices.DeleteFunc(t.Columns(), func(name string) bool {
		return !slices.ContainsFunc(ours, func(o string) bool { return t.names[o] == name })
	})
}

// Answers lists the columns that hold answers, and what is known of them: all that mean something to us, but for the prompt and what stands beside it.
func (t *Table) Answers() []string {
	names, answers, prompt := t.Columns(), slices.Clone(known), t.Asking()
	for _, l := range t.names.fitting(names) {
		if l.ours != nil {
			answers = append(answers, l.columns()...)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.Contains(prompt, name) || !slices.ContainsFunc(answers, func(o string) bool { return t.names[o] == name })
	})
}
