package datasets

import (
	"fmt"
	"slices"
	"strings"
)

// promptAlone makes a group without answers of a record.
func (c columns) promptAlone(rec record) (Group, error) {
	prompt, err := row{c, rec}.text("prompt")
	return c.withTools(Group{Prompt: prompt}, rec, err)
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
