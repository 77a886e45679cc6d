package optim

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Setting is a number, or one of a few words, that an optimizer or a schedule has beside the rate.
type Setting struct {
	Name    string
	Default string
	About   string   // what it is, in a few words
	Words   []string // what it may be; nil of a number
	Range   Range    // where a number must lie
}

// Range is where a number must lie. The zero Range is all finite numbers.
type Range struct {
	Says string // such as "at least 0"
	Has  func(x float64) bool
}

// The ranges of settings.
var (
	share    = Range{"at least 0 and below 1", func(x float64) bool { return x >= 0 && x < 1 }}
	upToOne  = Range{"at least 0 and at most 1", func(x float64) bool { return x >= 0 && x <= 1 }}
	positive = Range{"above 0", func(x float64) bool { return x > 0 }}
	notBelow = Range{"at least 0", func(x float64) bool { return x >= 0 }}
	negative = Range{"below 0", func(x float64) bool { return x < 0 }}
	count    = Range{"a whole number of at least 0", func(x float64) bool { return x >= 0 && x == math.Trunc(x) }}
)

var yesNo = []string{"false", "true"}

// Settings are those that were given, by name. It is a flag's value, written "name=value,name=value".
type Settings map[string]string

// Set takes what a flag was given.
func (s *Settings) Set(text string) error {
	out := Settings{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if text == "" {
			break
		}
		if _, twice := out[name]; !ok || twice || name == "" {
			return fmt.Errorf("%q: settings are written name=value,name=value, each name once", text)
		}
		out[name] = value
	}
	*s = out
	return nil
}

// String writes the settings as Set reads them, sorted by name.
func (s *Settings) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(*s)) {
		parts = append(parts, name+"="+(*s)[name])
	}
	return strings.Join(parts, ",")
}

// Type is the word for a value in a flag's help.
func (s *Settings) Type() string { return "name=value,..." }

// UnknownSettingError is a setting that its owner does not have.
type UnknownSettingError struct {
	Owner, Name string
	Known       []string
}

func (e *UnknownSettingError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("%s has no settings, and so no %s", e.Owner, e.Name)
	}
	return fmt.Sprintf("%s has no setting %s: it has %s", e.Owner, e.Name, strings.Join(e.Known, ", "))
}

// values are all settings of an owner, given or by default.
type values struct {
	numbers map[string]float64
	words   map[string]string
}

func (v values) num(name string) float64 {
	x, ok := v.numbers[name]
	if !ok {
		panic("no number " + name)
	}
	return x
}

func (v values) word(name string) string {
	w, ok := v.words[name]
	if !ok {
		panic("no word " + name)
	}
	return w
}

func (v values) yes(name string) bool { return v.word(name) == "true" }

// resolve reads the settings of an owner. All that are wrong are listed at once.
func (s Settings) resolve(owner string, known []Setting) (values, error) {
	out := values{map[string]float64{}, map[string]string{}}
	var errs []error
	for _, k := range known {
		text, given := s[k.Name]
		if !given {
			text = k.Default
		}
		if err := out.put(k, text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", owner, err))
		}
	}
	names := Named(known)
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if !slices.Contains(names, name) {
			errs = append(errs, &UnknownSettingError{owner, name, names})
		}
	}
	return out, errors.Join(errs...)
}

func (v values) put(k Setting, text string) error {
	if k.Words != nil {
		v.words[k.Name] = text
		if !slices.Contains(k.Words, text) {
			return fmt.Errorf("%s must be %s, it is %q", k.Name, strings.Join(k.Words, " or "), text)
		}
		return nil
	}
	x, err := strconv.ParseFloat(text, 64)
	v.numbers[k.Name] = x
	switch {
	case err != nil || x-x != 0:
		return fmt.Errorf("%s must be a number, it is %q", k.Name, text)
	case k.Range.Has != nil && !k.Range.Has(x):
		return fmt.Errorf("%s must be %s, it is %s", k.Name, k.Range.Says, text)
	}
	return nil
}

// Named lists the names of settings.
func Named(settings []Setting) (names []string) {
	for _, s := range settings {
		names = append(names, s.Name)
	}
	return names
}
