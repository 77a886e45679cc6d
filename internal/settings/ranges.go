package settings

import (
	"fmt"
	"math"
)

// Range is where a number must lie. It begins with [AtLeast], [Above] or [Below], and the methods narrow it: AtLeast(0).Below(1) is [0, 1).
// A range has both ends or one; the zero Range is the number 0 alone.
type Range struct {
	low, high         float64
	openLow, openHigh bool // whether the end is left out
	whole             bool
}

// AtLeast is the range of numbers from low on.
func AtLeast(low float64) Range { return Range{low: low, high: math.Inf(1), openHigh: true} }

// Above is the range of numbers greater than low.
func Above(low float64) Range {
	return Range{low: low, high: math.Inf(1), openLow: true, openHigh: true}
}

// Below is the range of numbers less than high.
func Below(high float64) Range {
	return Range{low: math.Inf(-1), high: high, openLow: true, openHigh: true}
}

// Below leaves out high and what is greater.
func (r Range) Below(high float64) Range {
	r.high, r.openHigh = high, true
	return r
}

// AtMost leaves out what is greater than high.
func (r Range) AtMost(high float64) Range {
	r.high, r.openHigh = high, false
	return r
}

// Whole leaves out what is no whole number.
func (r Range) Whole() Range {
	r.whole = true
	return r
}

// Has reports whether x lies in the range.
func (r Range) Has(x float64) bool {
	return (x > r.low || x == r.low && !r.openLow) && (x < r.high || x == r.high && !r.openHigh) && (!r.whole || x == math.Trunc(x))
}

// ends reports how many ends the range has.
func (r Range) ends() int {
	if math.IsInf(r.low, -1) || math.IsInf(r.high, 1) {
		return 1
	}
	return 2
}

// String says where the range's numbers lie, as in "at least 0", "in [0, 0.5)" or "a whole number in [1, 99]".
func (r Range) String() string {
	if r.whole {
		r.whole = false
		of := " "
		if r.ends() == 1 {
			of = " of "
		}
		return "a whole number" + of + r.String()
	}
	left, right := "[", "]"
	if r.openLow {
		left = "("
	}
	if r.openHigh {
		right = ")"
	}
	switch {
	case r.ends() == 2:
		return fmt.Sprintf("in %s%v, %v%s", left, r.low, r.high, right)
	case math.IsInf(r.low, -1) && r.openHigh:
		return fmt.Sprintf("below %v", r.high)
	case r.openLow:
		return fmt.Sprintf("above %v", r.low)
	}
	return fmt.Sprintf("at least %v", r.low)
}

// verb is what a number must do in the sentence that String ends: "lie in [0, 1)", "be at least 0".
func (r Range) verb() string {
	if r.ends() == 2 && !r.whole {
		return "lie"
	}
	return "be"
}
