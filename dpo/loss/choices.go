package loss

import (
	"fmt"
	"math/bits"
)

// MostTied is how many answers may share a place where the loss is averaged over their orders: 2⁸ − 1 choices stand for 8! orders.
const MostTied = 8

// Choices are a preference as the Plackett–Luce model has it (Plackett 1975, "The analysis of permutations"; Luce 1959): of the
// completions S that are left one is chosen, k with probability exp r_k / Σ_{j∈S} exp r_j, until none is left. The loss is
//
//	Σ_q Share_q · log Σ_{j∈S_q} exp r_j − Σ_k Wins_k · r_k
//
// A choice that votes or ties divide counts in shares.
type Choices struct {
	Rivals [][]float64 // [Q,K]: 1 for the completions S_q that choice q was made from, 0 for the others
	Share  []float64   // [Q]: what each choice counts
	Wins   []float64   // [K]: how many choices each completion has won; their sum is that of Share
}

// Rank gives the choices of a ranking, best first: places count from 0, tied completions share one, and −1 is a completion that
// is not ranked. Those stand below all that are, and nothing is said of them among themselves: the likelihood is that of a whole
// ranking's first choices, as in Plackett's partial rankings (and PlackettLuce: Turner, van Etten, Firth and Kosmidis 2020).
//
// Without dropTies the loss is the mean over all orders that the ties leave open, for at most [MostTied] to a place: of two, it is
// that of a vote which is even. In a random order the completions of a place that are left when m of n are is any m of them alike,
// so the mean over orders is one over subsets.
//
// With dropTies tied completions are not compared: each is chosen before all that are below its place, and among them alone. These
// are marginal probabilities of the model (it is consistent for subsets: Luce's choice axiom), multiplied as if independent (a
// composite likelihood: Varin, Reid and Firth 2011).
func Rank(places []int, dropTies bool) (Choices, error) {
	c := Choices{Wins: make([]float64, len(places))}
	for first := 0; first < len(places) && places[first] >= 0; {
		below := first + 1
		for below < len(places) && places[below] == places[first] {
			below++
		}
		switch tied := below - first; {
		case dropTies:
			c.apart(first, below)
		case tied <= MostTied:
			c.average(first, below)
		default:
			return c, fmt.Errorf("%d of its answers are tied for one place, and the mean over all orders is taken of %d at most: give --ties drop, which does not compare them",
				tied, MostTied)
		}
		first = below
	}
	return c, nil
}

// Vote gives the choice between two completions where a share of the votes is for the second.
func Vote(dissent float64) Choices {
	return Choices{Rivals: [][]float64{{1, 1}}, Share: []float64{1}, Wins: []float64{1 - dissent, dissent}}
}

// Divided reports whether votes or a tie gave the last completion a share of a choice; undivided it wins none.
func (c Choices) Divided() bool { return c.Wins[len(c.Wins)-1] > 0 }

// average adds the choices of completions first to below−1, which are tied, in the mean over their orders.
func (c *Choices) average(first, below int) {
	n, last := below-first, below == len(c.Wins)
	for set := uint(1); set < 1<<n; set++ {
		size := bits.OnesCount(set)
		if last && size == 1 {
			continue // whoever is left last is not chosen
		}
		rivals := make([]float64, n)
		for i := range rivals {
			rivals[i] = float64(set >> i & 1)
		}
		c.choose(1/combinations(n, size), first, rivals, below)
	}
	for k := first; k < below; k++ {
		c.Wins[k] = 1
		if last {
			c.Wins[k] -= 1 / float64(n)
		}
	}
}

// apart adds a choice for each of the completions first to below−1: it before all that are below them.
func (c *Choices) apart(first, below int) {
	if below == len(c.Wins) {
		return
	}
	for k := first; k < below; k++ {
		rivals := make([]float64, below-first)
		rivals[k-first] = 1
		c.choose(1, first, rivals, below)
		c.Wins[k] = 1
	}
}

// choose adds a choice from the completions at first that are marked, and all from below on.
func (c *Choices) choose(share float64, first int, marked []float64, below int) {
	rivals := make([]float64, len(c.Wins))
	copy(rivals[first:], marked)
	for k := below; k < len(rivals); k++ {
		rivals[k] = 1
	}
	c.Rivals, c.Share = append(c.Rivals, rivals), append(c.Share, share)
}

// combinations counts the subsets of k out of n.
func combinations(n, k int) float64 {
	ways := 1.0
	for i := range k {
		ways = ways * float64(n-i) / float64(i+1)
	}
	return ways
}
