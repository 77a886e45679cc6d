package loss

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Scalar is a setting of a loss.
type Scalar struct {
	Name    string
	Default float64
	Says    string   // what it is, in a line of plain text
	Range   Interval // what it may be
}

// Interval is a range of numbers. Its ends belong to it unless they are open; High of +∞ is never reached.
type Interval struct {
	Low, High         float64
	OpenLow, OpenHigh bool
}

// Has reports whether v lies in the interval.
func (i Interval) Has(v float64) bool {
	above, below := v >= i.Low, v <= i.High
	if i.OpenLow {
		above = v > i.Low
	}
	if i.OpenHigh || math.IsInf(i.High, 1) {
		below = v < i.High
	}
	return above && below
}

// String writes the interval as in "[0, 0.5)".
func (i Interval) String() string {
	left, right, high := "[", "]", fmt.Sprint(i.High)
	if i.OpenLow {
		left = "("
	}
	if math.IsInf(i.High, 1) {
		high = "infinity"
	}
	if i.OpenHigh || math.IsInf(i.High, 1) {
		right = ")"
	}
	return fmt.Sprintf("%s%v, %s%s", left, i.Low, high, right)
}

var (
	positive    = Interval{OpenLow: true, High: math.Inf(1)}
	notNegative = Interval{High: math.Inf(1)}
)

// Settings that have flags of their own.
var (
	beta           = Scalar{"beta", 0.1, "strength of the tie to the reference", positive}
	labelSmoothing = Scalar{"label_smoothing", 0, "share of labels taken to be wrong", Interval{High: 0.5, OpenHigh: true}}
)

// flags names the settings that have flags of their own, and these.
var flags = map[string]string{beta.Name: "beta", labelSmoothing.Name: "label-smoothing"}

// Own lists the settings of the loss that have no flags of their own: those of [Loss.Resolve].
func (l *Loss) Own() []Scalar {
	return slices.DeleteFunc(slices.Clone(l.Scalars), func(s Scalar) bool { return flags[s.Name] != "" })
}

// Resolve completes settings given by name, which must be among [Loss.Own], with their defaults. An error names all that are
// unknown, of other losses, or out of range.
func (l *Loss) Resolve(given map[string]float64) (map[string]float64, error) {
	values, own := map[string]float64{}, map[string]Scalar{}
	for _, s := range l.Own() {
		values[s.Name], own[s.Name] = s.Default, s
	}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		v := given[name]
		switch s, ok := own[name]; {
		case !ok:
			wrong = append(wrong, l.refuse(name))
		case !s.Range.Has(v):
			wrong = append(wrong, fmt.Sprintf("%s must lie in %s, it is %v", name, s.Range, v))
		default:
			values[name] = v
		}
	}
	if wrong != nil {
		return nil, fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return values, nil
}

// refuse says why a name is no setting of the loss.
func (l *Loss) refuse(name string) string {
	if flag := flags[name]; flag != "" {
		return fmt.Sprintf("%s has a flag of its own, --%s", name, flag)
	}
	has := "which has none"
	if own := l.Own(); len(own) > 0 {
		names := make([]string, len(own))
		for i, s := range own {
			names[i] = s.Name
		}
		has = "which has " + And(names)
	}
	if others := Taking(name); len(others) > 0 {
		return fmt.Sprintf("%s is a setting of %s, not of %s, %s", name, And(others), l.Name, has)
	}
	return fmt.Sprintf("%s is no setting of %s, %s", name, l.Name, has)
}

// And writes a list as in "a, b and c".
func And(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
