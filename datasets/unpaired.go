package datasets

import "slices"

// Label is what a row of one answer says of it by the column label.
type Label int8

// The labels.
const (
	Unlabelled  Label = iota
	Desirable         // true, or 1
	Undesirable       // false, or 0
	Worded            // a string, which may stand for true or false, or mean something else: nothing is learnt from it
)

// asLabel reads a boolean, or a number that stands for one. Any other value is of a column that means something else.
func asLabel(v any) Label {
	switch v {
	case true, 1.0:
		return Desirable
	case false, 0.0:
		return Undesirable
	}
	if _, ok := v.(string); ok {
		return Worded
	}
	return Unlabelled
}

// Unpair makes two rows of a pair: its first answer desirable, its second not. What the pair's prompt ends in where the two differ goes
// back to each prompt. A row of another number of answers is nil, as is a pair that prefers neither: of which votes are divided, or
// that is tied.
func Unpair(x Example) []Example {
	if len(x.Completions) != 2 || x.Dissent != 0 || x.Places != nil {
		return nil
	}
	out := make([]Example, 2)
	for k, c := range x.Completions {
		y := Example{Prompt: slices.Concat(x.Prompt, c.IDs[:c.Start]), Label: []Label{Desirable, Undesirable}[k], Truncated: x.Truncated, File: x.File, Row: x.Row}
		y.Completions = []Completion{{IDs: c.IDs[c.Start:], Gaps: moved(c.Gaps, -c.Start), Truncated: c.Truncated}}
		if x.Ref != nil {
			y.Ref = x.Ref[k : k+1]
		}
		out[k] = y
	}
	return out
}
