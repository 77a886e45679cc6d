package datasets

import (
	"fmt"
	"math"
)

// Text is a prompt or a completion: a string, or (when Messages is not nil) a list of messages.
type Text struct {
	String   string
	Messages []Message
	Tools    string // of a prompt of messages: as in Conversation
}

// empty reports whether the text says nothing.
func (t Text) empty() bool {
	for _, m := range t.Messages {
		if m.said() {
			return false
		}
	}
	return t.String == ""
}

// Group is a prompt and its completions, as read from one row.
type Group struct {
	Prompt      Text
	Completions []Text // best first; a pair is chosen, rejected

	// Ranks or Scores, of a ranked row, in the order of Completions; nil otherwise. NaN is a null, and stands last.
	Ranks, Scores []float64
	// Order holds the place in the file's list of each of Completions; nil if it is the same.
	Order []int
	// Cut marks the completions that ended because of a limit on their length; nil if none is known to.
	Cut []bool

	Margin  float64 // 0 if the row has none: then HasMargin is false
	Dissent float64 // of two answers: the share of votes for the second; 0 if there are no votes
	Label   Label   // of one answer
	Notes   Notes

	HasMargin bool
	Talk      bool // the row is one conversation, whose earlier turns of the assistant may be learnt as its last
	Level     bool // of a pair: the data has the same score for both, and so prefers neither

	Ref []float64 // the reference's log-probabilities, in the order of Completions; nil if the row has none

	File string
	Row  int64 // 0-based in File
	Line int64 // as in RowError
}

// RowError is a row that cannot be used because of what it holds. Reading may go on after it.
type RowError struct {
	File string
	Row  int64 // 0-based
	Line int64 // 1-based, of a file of lines; 0 if the file has none
	Err  error
	// Whole tells that the row could be read, and that only what it says makes no group, or no tokens: the rows after it are as good as ever.
	Whole bool
}

func (e *RowError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s: row %d: %v", e.File, e.Row, e.Err)
}

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// permute puts a ranked group in its order, best first: perm[i] is the place in the
// file of what becomes completion i.
func (g *Group) permute(perm []int) {
	sorted := true
	for i, p := range perm {
		sorted = sorted && i == p
	}
	if sorted {
		return
	}
	g.Order = perm
	g.Completions = pick(g.Completions, perm)
	g.Ranks, g.Scores = pick(g.Ranks, perm), pick(g.Scores, perm)
	g.Cut, g.Ref = pick(g.Cut, perm), pick(g.Ref, perm)
}

// first is the group with its first completion alone, or the reason that none is the best: no answer has a rank or score.
func (g Group) first() (Group, string) {
	if places := g.places(); places != nil && places[0] < 0 {
		return g, DropUnranked
	}
	g.Completions, g.Order, g.Ref = g.Completions[:1], nil, nil
	g.Ranks, g.Scores, g.Margin, g.HasMargin, g.Dissent, g.Label = nil, nil, 0, false, 0, Unlabelled
	g.Cut = g.Cut[:min(len(g.Cut), 1)]
	return g, ""
}

// values are what orders a ranked group: ranks, where there are any, or scores.
func (g *Group) values() []float64 {
	if g.Ranks != nil {
		return g.Ranks
	}
	return g.Scores
}

// places says where the completions of a ranked group stand, from 0: tied ones share a place, and −1 is one without a rank or
// score. It is nil where each stands above the next.
func (g *Group) places() []int {
	values := g.values()
	places, strict := make([]int, len(values)), true
	for i, v := range values {
		switch {
		case math.IsNaN(v):
			places[i] = -1
			strict = strict && i > 0 && i == len(values)-1
		case i > 0 && v == values[i-1]:
			places[i] = places[i-1]
			strict = false
		case i > 0:
			places[i] = places[i-1] + 1
		}
	}
	if strict {
		return nil
	}
	return places
}

func pick[T any](s []T, perm []int) []T {
	if s == nil {
		return nil
	}
	out := make([]T, len(perm))
	for i, p := range perm {
		out[i] = s[p]
	}
	return out
}

// checkFinite refuses NaN and infinities, which would go straight into the loss.
func checkFinite(column string, values ...float64) error {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("column %s holds %v: a finite number is needed", column, v)
		}
	}
	return nil
}
