package datasets

import (
	"math"
	"slices"
)

// TiePolicy says what answers of one rank, or one score, tell.
type TiePolicy string

const (
	TiesAverage TiePolicy = "average" // that any order among them is as good (the default of training)
	TiesDrop    TiePolicy = "drop"    // nothing about each other
)

// Why a row of ranked answers is dropped.
const (
	DropUncompared = "fewer than two answers have a score"
	DropUnranked   = "no answer is ranked"
	DropTied       = "all answers are tied"
)

// compared leaves out answers without a score: where judgements are incomplete, the likelihood is that of the answers judged
// (Cheng, Dembczyński and Hüllermeier 2010). An answer without a rank stays, below all that have one, as in a list of the best few.
// The reason is that nothing is left to be compared.
func (e *Encoder) compared(g Group) (Group, string) {
	if e.Ties == TiesDrop && (g.Level || g.Dissent == 0.5) {
		return g, DropTied
	}
	if e.Ties == "" || len(g.Completions) < 2 || g.Ranks == nil && g.Scores == nil {
		return g, ""
	}
	if n := slices.IndexFunc(g.Scores, math.IsNaN); g.Ranks == nil && n >= 0 {
		g.keep(n)
	}
	places := g.places()
	switch {
	case len(g.Completions) < 2:
		return g, DropUncompared
	case places == nil:
		return g, ""
	case places[0] < 0:
		return g, DropUnranked
	case e.Ties == TiesDrop && places[len(places)-1] == 0:
		return g, DropTied
	}
	return g, ""
}

// Tied reports whether the data has two answers as equally good, by votes, ranks or scores, or says nothing about them: two without a
// rank, or one without a score.
func (g *Group) Tied(i, k int) bool {
	if g.Ranks == nil && g.Scores == nil {
		return g.Dissent == 0.5
	}
	a, b := g.values()[i], g.values()[k]
	switch {
	case math.IsNaN(a) && math.IsNaN(b):
		return true
	case math.IsNaN(a) || math.IsNaN(b):
		return g.Ranks == nil
	}
	return a == b
}

// keep leaves the first n completions of a ranked group.
func (g *Group) keep(n int) {
	g.Completions, g.Scores = g.Completions[:n], g.Scores[:n]
	if g.Order != nil {
		g.Order = g.Order[:n]
	}
	if g.Ref != nil {
		g.Ref = g.Ref[:n]
	}
	if g.Cut != nil {
		g.Cut = g.Cut[:n]
	}
}
