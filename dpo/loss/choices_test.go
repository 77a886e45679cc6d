package loss

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// of is the loss of choices at rewards r, as Choices defines it.
func (c Choices) of(r []float64) float64 {
	sum := 0.0
	for q, rivals := range c.Rivals {
		total := 0.0
		for k, there := range rivals {
			total += there * math.Exp(r[k])
		}
		sum += c.Share[q] * math.Log(total)
	}
	for k, won := range c.Wins {
		sum -= won * r[k]
	}
	return sum
}

// orders calls f for each order of places' completions that their ties leave open.
func orders(places []int, f func(order []int)) {
	var order []int
	used := make([]bool, len(places))
	var next func()
	next = func() {
		at := len(order)
		if at == len(places) {
			f(order)
			return
		}
		for k := range places {
			if places[k] == places[at] && !used[k] {
				used[k], order = true, append(order, k)
				next()
				used[k], order = false, order[:at]
			}
		}
	}
	next()
}

// inOrder is the Plackett–Luce loss of the first n choices of an order.
func inOrder(order []int, n int, r []float64) (sum float64) {
	for i := range n {
		total := 0.0
		for _, k := range order[i:] {
			total += math.Exp(r[k])
		}
		sum += math.Log(total) - r[order[i]]
	}
	return sum
}

// The mean over all orders that ties leave open, taken over the orders one by one, is what Rank gives over subsets, to 1e-12; without
// ties both rules are the one ranking.
func TestTiesAreTheMeanOverOrders(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, places := range [][]int{{0}, {0, 1}, {0, 0}, {0, -1}, {0, 1, 2, 3}, {0, 0, 0}, {0, 1, 1, 2}, {0, 0, 1, 1}, {0, 0, 1, 2, 2, 2},
		{0, 1, 1, -1, -1}, {0, 0, 0, 1, 1, 1, 2}, {0, 0, 0, 0, 0, 0, 0, 0}, {0, 1, 2, 3, -1, -1, -1, -1}} {
		r := make([]float64, len(places))
		ranked := 0
		for k := range r {
			r[k] = 2 * rng.NormFloat64()
			if places[k] >= 0 {
				ranked++
			}
		}
		c, err := Rank(places, false)
		if err != nil {
			t.Fatal(err)
		}
		mean, n := 0.0, 0.0
		orders(places[:ranked], func(order []int) {
			whole := append([]int{}, order...)
			for k := ranked; k < len(places); k++ {
				whole = append(whole, k)
			}
			mean += inOrder(whole, ranked, r)
			n++
		})
		if got, want := c.of(r), mean/n; math.Abs(got-want) > 1e-12*(1+want) {
			t.Errorf("%v: the loss is %v, the mean over %v orders %v", places, got, n, want)
		}
		strict := n == 1
		apart, err := Rank(places, true)
		if err != nil || strict != (math.Abs(apart.of(r)-c.of(r)) < 1e-12) {
			t.Errorf("%v: ties dropped give %v, averaged %v (%v)", places, apart.of(r), c.of(r), err)
		}
	}
}

// Dropped ties: an answer is compared with those below its place and with no other, so a tie of all tells nothing.
func TestDroppedTiesCompareNothing(t *testing.T) {
	for places, want := range map[string]string{
		"[0 0 1]":   "[[1 0 1] [0 1 1]] [1 1] [1 1 0]",
		"[0 1 1]":   "[[1 1 1]] [1] [1 0 0]",
		"[0 0]":     "[] [] [0 0]",
		"[0 0 -1]":  "[[1 0 1] [0 1 1]] [1 1] [1 1 0]",
		"[-1 -1]":   "[] [] [0 0]",
		"[0 -1 -1]": "[[1 1 1]] [1] [1 0 0]",
	} {
		var p []int
		for f := range strings.FieldsSeq(strings.Trim(places, "[]")) {
			var v int
			fmt.Sscan(f, &v)
			p = append(p, v)
		}
		c, err := Rank(p, true)
		if got := fmt.Sprint(c.Rivals, c.Share, c.Wins); err != nil || got != want {
			t.Errorf("%s: %s, want %s (%v)", places, got, want, err)
		}
	}
}

// Every choice is won: the sum of wins is that of shares, and so the loss does not change where all rewards rise alike.
func TestChoicesAreWon(t *testing.T) {
	sum := func(values []float64) (s float64) {
		for _, v := range values {
			s += v
		}
		return s
	}
	for _, drop := range []bool{false, true} {
		for _, places := range [][]int{{0, 1, 1, 1, 2, 2, -1}, {0, 0, 0, 0, 0}, {0, 1, 2}, {-1, -1}} {
			c, err := Rank(places, drop)
			if err != nil || math.Abs(sum(c.Wins)-sum(c.Share)) > 1e-12 {
				t.Errorf("%v, ties dropped %v: wins %v, shares %v (%v)", places, drop, c.Wins, c.Share, err)
			}
		}
	}
	if c := Vote(0.25); sum(c.Wins) != 1 || !c.Divided() || Vote(0).Divided() {
		t.Errorf("votes %+v", c)
	}
}

func TestTooManyTiesAreRefused(t *testing.T) {
	nine := make([]int, MostTied+1)
	if _, err := Rank(nine, false); err == nil || !strings.HasPrefix(err.Error(), "9 of its answers are tied for one place") || !strings.Contains(err.Error(), "8 at most: give --ties drop") {
		t.Errorf("nine tied answers give %v", err)
	}
	if _, err := Rank(nine, true); err != nil {
		t.Errorf("nine tied answers that are not compared give %v", err)
	}
}

// Losses that cannot share a label out say so; those that can take it.
func TestDividedChoicesNeedALossThatTakesThem(t *testing.T) {
	even, err := Rank([]int{0, 0}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		l := registry[name]
		if err := l.CheckChoices(even); (err == nil) != l.Divided {
			t.Errorf("%s: a tie gives %v", name, err)
		}
		if err := l.CheckChoices(Vote(0)); err != nil {
			t.Errorf("%s: a vote of all gives %v", name, err)
		}
	}
	if got := fmt.Sprint(Vote(0.5)); got != fmt.Sprint(even) {
		t.Errorf("an even vote is %s, a tie %+v", got, even)
	}
}
