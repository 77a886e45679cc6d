// Package settings holds what losses, optimizers and schedules have settings by: numbers and words, by name.
//
// Who has settings describes each by a [Setting], whose Range or Words say what it may be:
//
//	{Name: "gamma", Default: "0.5", Range: AtLeast(0), About: "by how much the chosen answer's reward should exceed the other's"}
//	{Name: "nesterov", Default: "false", Words: YesNo, About: "look one step ahead"}
//
// What a user gives are [Values], as a flag "gamma=1,alpha=0.5" and as a map in YAML. An [Owner] resolves them: defaults stand in for what
// is not given, and one error names all that is wrong, the name that may have been meant, and the owners that have a setting which this one
// has not.
//
//	o := settings.Owner{Name: "simpo", Settings: ..., Peers: ...}
//	chosen, err := o.Resolve(values)
//	gamma := chosen.Number("gamma")
package settings

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/dpo-ort/dpo-ort/internal/wording"
)

// Setting is a number, or one of a few words.
type Setting struct {
	Name    string
	Default string
	About   string   // what it is, in a line of plain text
	Range   Range    // what a number may be
	Words   []string // what a word may be; nil of a number
	Flag    string   // the flag that it is given by, which is then the only way: such a setting is no part of [Values]
}

// YesNo are the words of a setting that is on or off: see [Resolved.Yes].
var YesNo = []string{"false", "true"}

// Takes says what the setting may be, as in "at least 0", "in [0, 1)" or "false or true".
func (s Setting) Takes() string {
	if s.Words != nil {
		return wording.Or(s.Words)
	}
	return s.Range.String()
}

// Same reports whether two settings are one: of equal name, meaning, range and default.
func (s Setting) Same(as Setting) bool {
	return s.Name == as.Name && s.Default == as.Default && s.About == as.About && s.Range == as.Range && s.Flag == as.Flag && slices.Equal(s.Words, as.Words)
}

// check reports a text that the setting cannot be.
func (s Setting) check(text string) error {
	if s.Words != nil {
		if slices.Contains(s.Words, text) {
			return nil
		}
		return fmt.Errorf("must be %s, it is %q%s", s.Takes(), text, wording.Suggest("", text, s.Words))
	}
	switch x, err := strconv.ParseFloat(text, 64); {
	case err != nil || math.IsNaN(x) || math.IsInf(x, 0):
		return fmt.Errorf("must be a number, it is %q", text)
	case !s.Range.Has(x):
		return fmt.Errorf("must %s %s, it is %s", s.Range.verb(), s.Range, text)
	}
	return nil
}

// Named lists the settings that are given by name: those without a flag.
func Named(all []Setting) []Setting {
	return slices.DeleteFunc(slices.Clone(all), func(s Setting) bool { return s.Flag != "" })
}

// Names lists the names of settings, in their order.
func Names(all []Setting) (names []string) {
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}
