package settings

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/wording"
)

// Owner is what has settings: a loss, an optimizer or a schedule.
type Owner struct {
	Name     string
	Settings []Setting
	Peers    map[string][]Setting // the settings of all of its kind, by their owners' names: see [Peers]
}

// Peers are the settings of all that a registry holds.
func Peers[T any](registry map[string]T, of func(T) []Setting) map[string][]Setting {
	all := map[string][]Setting{}
	for name, x := range registry {
		all[name] = of(x)
	}
	return all
}

// Resolved are all settings of an owner that have no flags of their own, given or by default.
type Resolved struct {
	numbers map[string]float64
	words   map[string]string
}

// Number is the value of a setting that is a number. It panics if the owner has none of that name.
func (r Resolved) Number(name string) float64 {
	x, ok := r.numbers[name]
	if !ok {
		panic("no number is named " + name)
	}
	return x
}

// Word is the value of a setting that is a word. It panics if the owner has none of that name.
func (r Resolved) Word(name string) string {
	w, ok := r.words[name]
	if !ok {
		panic("no word is named " + name)
	}
	return w
}

// Yes reports whether a setting whose words are [YesNo] is on.
func (r Resolved) Yes(name string) bool { return r.Word(name) == "true" }

// Numbers are the values of all settings that are numbers, by name, in a map of the caller's own.
func (r Resolved) Numbers() map[string]float64 { return maps.Clone(r.numbers) }

// Resolve completes what was given by defaults. The error names all that is unknown, or not as it must be, joined by "; ".
func (o Owner) Resolve(given Values) (Resolved, error) {
	r, own := Resolved{map[string]float64{}, map[string]string{}}, Named(o.Settings)
	var wrong []string
	for _, s := range own {
		text, ok := given[s.Name]
		if !ok {
			text = s.Default
		}
		if err := s.check(text); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s of %s %v", s.Name, o.Name, err))
		}
		if s.Words != nil {
			r.words[s.Name] = text
			continue
		}
		r.numbers[s.Name], _ = strconv.ParseFloat(text, 64) // which check has seen to
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(Names(own), name) {
			wrong = append(wrong, o.refuse(name, Names(own)))
		}
	}
	if wrong != nil {
		return Resolved{}, errors.New(strings.Join(wrong, "; "))
	}
	return r, nil
}

// refuse says why a name is no setting of the owner, which has these.
func (o Owner) refuse(name string, own []string) string {
	if flag := flagOf(name, o.Peers); flag != "" {
		return fmt.Sprintf("%s has a flag of its own, --%s", name, flag)
	}
	has := "which has none"
	if len(own) > 0 {
		has = "which has " + wording.And(own)
	}
	if others := Having(name, o.Peers); len(others) > 0 {
		return fmt.Sprintf("%s is a setting of %s, not of %s, %s", name, wording.And(others), o.Name, has)
	}
	return fmt.Sprintf("%s is no setting of %s, %s%s", name, o.Name, has, wording.Suggest("", name, own))
}

// Having lists the owners that have a setting, sorted.
func Having(name string, peers map[string][]Setting) (owners []string) {
	for _, owner := range slices.Sorted(maps.Keys(peers)) {
		if slices.Contains(Names(peers[owner]), name) {
			owners = append(owners, owner)
		}
	}
	return owners
}

// flagOf is the flag that owners have for a setting of this name, or "".
func flagOf(name string, peers map[string][]Setting) string {
	for _, owner := range slices.Sorted(maps.Keys(peers)) {
		for _, s := range peers[owner] {
			if s.Name == name && s.Flag != "" {
				return s.Flag
			}
		}
	}
	return ""
}
