package dpo

import (
	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
)

// choicesOf says how a group's preference came about, by its votes or its ranking, for a loss that takes them so.
func choicesOf(l *loss.Loss, x datasets.Example, ties datasets.TiePolicy) (c loss.Choices, err error) {
	K := len(x.Completions)
	if err := l.Check(K); err != nil || l.Alone || l.Unpaired {
		return c, err
	}
	places := x.Places
	if places == nil {
		places = sequence(0, K)
	}
	if x.Dissent > 0 {
		c = loss.Vote(x.Dissent)
	} else if c, err = loss.Rank(places, ties == datasets.TiesDrop); err != nil {
		return c, err
	}
	return c, l.CheckChoices(c)
}

// addChoices lays out choices of groups of K completions as inputs of the loss graph, wins [G,K], rivals [G,Q,K] and choices [G,Q],
// and gives Q, the most that a group has.
func addChoices(values map[string][]float64, groups []loss.Choices, completions int) int {
	most := 1 // no tensor is empty
	for _, c := range groups {
		most = max(most, len(c.Share))
	}
	for _, c := range groups {
		values["wins"] = append(values["wins"], c.Wins...)
		values["choices"] = append(append(values["choices"], c.Share...), make([]float64, most-len(c.Share))...)
		for _, rivals := range c.Rivals {
			values["rivals"] = append(values["rivals"], rivals...)
		}
		values["rivals"] = append(values["rivals"], make([]float64, (most-len(c.Rivals))*completions)...)
	}
	return most
}

// tied reports whether the data has two answers of a group, i before k, as equally good, or says nothing about them.
func tied(x datasets.Example, i, k int) bool {
	return x.Dissent == 0.5 || x.Places != nil && x.Places[i] == x.Places[k]
}
