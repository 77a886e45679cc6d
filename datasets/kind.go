package datasets

import "fmt"

// Kind is what each row of a table holds beside its prompt.
type Kind string

const (
	Pairs   Kind = "pairs"   // chosen and rejected
	Ranked  Kind = "ranked"  // a list of answers, or two with votes
	Singles Kind = "singles" // one answer
)

// Kind tells by the columns what the rows hold.
func (t *Table) Kind() Kind {
	if l := t.Layout(); l != nil {
		return l.Kind
	}
	has := map[string]bool{}
	for _, name := range t.Columns() {
		has[name] = true
	}
	switch {
	case has[t.names["chosen"]] && has[t.names["rejected"]]:
		return Pairs
	case has[t.names["completions"]] || has[t.names["responses"]]:
		return Ranked
	case has[t.names["a"]] && has[t.names["b"]] && has[t.names["votes"]]:
		return Ranked
	}
	return Singles
}

// Matches reports a table whose columns or their types are not those of t, so that their rows cannot be written to one
// file.
func (t *Table) Matches(o *Table) error {
	a, b := newSchema(t.fields()).String(), newSchema(o.fields()).String()
	if a != b {
		return fmt.Errorf("the columns of %s are not those of %s:\n%s\n%s", o.File, t.File, b, a)
	}
	return nil
}
