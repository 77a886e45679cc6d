package dpo

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// Pairing says how the scored answers of a row become pairs.
type Pairing struct {
	Pairs string // "all", "best-worst", "adjacent" in the order of scores, or "sampled"; "" is all
	// Ties says what becomes of a pair of equal scores: "drop", "keep" (the first of the file is chosen) or "average" (it is there both
	// ways round). "" is drop; of sampled pairs it is keep, since these are drawn like all others.
	Ties        string
	Temperature float64 // of sampled pairs: what scores are divided by; 0 is 1
	Seed        int64   // of sampled pairs
}

// pair are the places of two answers in their row.
type pair struct{ chosen, rejected int }

// pairings list the candidates among answers, given by their places in the row, before ties are looked at.
var pairings = map[string]func(answers []int, scores []float64) []pair{
	"all": allPairs,
	// each pair once, as Bradley-Terry would have them labelled: drawFor decides
	"sampled": allPairs,
	"best-worst": func(answers []int, scores []float64) []pair {
		if len(answers) < 2 {
			return nil
		}
		by := ranking(answers, scores)
		return []pair{{by[0], by[len(by)-1]}}
	},
	"adjacent": func(answers []int, scores []float64) (out []pair) {
		by := ranking(answers, scores)
		for i := 1; i < len(by); i++ {
			out = append(out, pair{by[i-1], by[i]})
		}
		return out
	},
}

// Pairings lists what Pairing.Pairs may be.
func Pairings() []string { return slices.Sorted(maps.Keys(pairings)) }

// ties lists what Pairing.Ties may be.
var ties = []string{"drop", "keep", "average"}

// allPairs are those of any two answers, the first of the file first.
func allPairs(answers []int, _ []float64) (out []pair) {
	for i, a := range answers {
		for _, b := range answers[i+1:] {
			out = append(out, pair{a, b})
		}
	}
	return out
}

// ranking sorts answers, best first; equal ones stay in the order of the file.
func ranking(answers []int, scores []float64) []int {
	by := slices.Clone(answers)
	slices.SortStableFunc(by, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return by
}

func (p Pairing) check() error {
	p = p.resolved()
	if err := OneOf("pairs", p.Pairs, Pairings()); err != nil {
		return err
	}
	if err := OneOf("ties", p.Ties, ties); err != nil {
		return err
	}
	if !(p.Temperature > 0 && p.Temperature <= math.MaxFloat64) {
		return Usage("sampled-temperature must be positive, it is %v", p.Temperature)
	}
	return nil
}

// resolved has the defaults in their places.
func (p Pairing) resolved() Pairing {
	p.Pairs = cmp.Or(p.Pairs, "all")
	if p.Ties == "" {
		p.Ties = "drop"
		if p.sampled() {
			p.Ties = "keep"
		}
	}
	p.Temperature = cmp.Or(p.Temperature, 1)
	return p
}

func (p Pairing) sampled() bool { return p.Pairs == "sampled" }

// pairsOf makes pairs of the answers that were judged, of a row by its number in all data. Candidates of equal text are left out.
func (p Pairing) pairsOf(row int64, texts []datasets.Text, answers []int, scores []float64) (out []pair, tied, equal int64) {
	p = p.resolved()
	for _, c := range pairings[p.Pairs](answers, scores) {
		a, b := c.chosen, c.rejected
		tie := scores[a] == scores[b]
		switch {
		case sameText(texts[a], texts[b]):
			equal++
			continue
		case tie:
			tied++
		}
		switch {
		case tie && p.Ties == "drop":
		case tie && p.Ties == "average":
			out = append(out, c, pair{b, a})
		case p.sampled() && p.drawFor(row, a, b) >= 1/(1+math.Exp((scores[b]-scores[a])/p.Temperature)),
			!p.sampled() && scores[a] < scores[b]:
			out = append(out, pair{b, a})
		default:
			out = append(out, c)
		}
	}
	return out, tied, equal
}

// drawFor is the number that labels answers a and b of a row: a function of them and the seed.
func (p Pairing) drawFor(row int64, a, b int) float64 {
	return randomFor("label: seed %d, row %d, answers %d and %d", p.Seed, row, a, b).Float64()
}

func sameText(a, b datasets.Text) bool {
	return a.String == b.String && slices.Equal(a.Messages, b.Messages)
}
