package datasets

import (
	"math"
	"slices"
)

// Lengths are how many tokens the prompts, or the answers, of a data set have.
type Lengths struct {
	Of                      string // prompt, chosen, rejected or completions; whole is a prompt with its longest answer
	Count                   int
	Min, P50, P90, P99, Max int
	Mean                    float64
	Histogram               []Bin // at most ten bins of equal width, without gaps

	tokens []int
}

// Bin counts what has from From to To tokens, both included.
type Bin struct {
	From, To int
	Count    int
}

// settle computes the figures of the tokens seen. A percentile is the least number that this share of all does not exceed.
func (l *Lengths) settle() {
	n := len(l.tokens)
	if l.Count = n; n == 0 {
		return
	}
	slices.Sort(l.tokens)
	at := func(share float64) int { return l.tokens[int(math.Ceil(share*float64(n)))-1] }
	l.Min, l.P50, l.P90, l.P99, l.Max = l.tokens[0], at(0.5), at(0.9), at(0.99), l.tokens[n-1]
	sum := 0
	for _, t := range l.tokens {
		sum += t
	}
	l.Mean = float64(sum) / float64(n)
	l.bin()
}

func (l *Lengths) bin() {
	width := binWidth(l.Min, l.Max)
	first := l.Min / width
	for i := first; i <= l.Max/width; i++ {
		l.Histogram = append(l.Histogram, Bin{From: i * width, To: (i+1)*width - 1})
	}
	for _, t := range l.tokens {
		l.Histogram[t/width-first].Count++
	}
}

// binWidth is the least of 1, 2, 5, 10, 20, … that needs at most ten bins.
func binWidth(lowest, highest int) int {
	for scale := 1; ; scale *= 10 {
		for _, step := range []int{1, 2, 5} {
			if w := step * scale; highest/w-lowest/w < 10 {
				return w
			}
		}
	}
}
