package demo

import (
	"math"
	"strings"
)

// A Review is a prompt and how it goes on, as a line of a file. Between words stands a space, and the completion begins with one.
type Review struct {
	Prompt     string `json:"prompt"`
	Completion string `json:"completion"`
}

// Tokens is how many tokens the completion has: its words, and the end of the text.
func (r Review) Tokens() int { return len(strings.Fields(r.Completion)) + 1 }

// LogProb is the exact log-probability, in nats, of a review's completion and that it ends there, given its prompt: the sum over settings and
// ways to derive the text, by dynamic programming over its words. It is −∞ for a text that the grammar does not make, and NaN for such a prompt.
func (g *Grammar) LogProb(r Review) float64 {
	before, after := newReading(r.Prompt), newReading(r.Completion)
	both, prompt := 0.0, 0.0
	for setting := range settings {
		for _, a := range g.root.variants[setting].alternatives {
			if p := a.share * before.whole(a.symbols[:a.border], setting); p > 0 {
				prompt += p
				both += p * after.whole(a.symbols[a.border:], setting)
			}
		}
	}
	return math.Log(both / prompt)
}

// A reading finds out how likely rules make parts of one text.
type reading struct {
	words []string
	known map[place][]mass
}

type place struct {
	of             *rule
	setting, start int
}

// A mass is the probability of the words from some start to an end.
type mass struct {
	end int
	p   float64
}

func newReading(text string) *reading {
	return &reading{words: strings.Fields(text), known: map[place][]mass{}}
}

// whole is the probability that symbols make all of the text.
func (r *reading) whole(symbols []symbol, setting int) float64 {
	for _, m := range r.sequence(symbols, setting, 0) {
		if m.end == len(r.words) {
			return m.p
		}
	}
	return 0
}

// sequence gives the ends that symbols, one after the other, reach from a start.
func (r *reading) sequence(symbols []symbol, setting, start int) []mass {
	at := []mass{{start, 1}}
	for _, s := range symbols {
		var next []mass
		for _, from := range at {
			for _, to := range r.symbol(s, setting, from.end) {
				next = add(next, to.end, from.p*to.p)
			}
		}
		at = next
	}
	return at
}

func (r *reading) symbol(s symbol, setting, start int) []mass {
	if s.variants != nil {
		of, within := s.in(setting)
		return r.rule(of, within, start)
	}
	if start < len(r.words) && r.words[start] == s.text {
		return []mass{{start + 1, 1}}
	}
	return nil
}

func (r *reading) rule(of *rule, setting, start int) (ends []mass) {
	if of.words != nil {
		if start < len(r.words) && of.words[r.words[start]] > 0 {
			return []mass{{start + 1, of.words[r.words[start]]}}
		}
		return nil
	}
	at := place{of, setting, start}
	if ends, ok := r.known[at]; ok {
		return ends
	}
	for _, a := range of.alternatives {
		for _, m := range r.sequence(a.symbols, setting, start) {
			ends = add(ends, m.end, a.share*m.p)
		}
	}
	r.known[at] = ends
	return ends
}

func add(to []mass, end int, p float64) []mass {
	for i := range to {
		if to[i].end == end {
			to[i].p += p
			return to
		}
	}
	return append(to, mass{end, p})
}

// Entropy is the cross-entropy of reviews under log-probabilities of their completions, in nats a token, the end of the text being one.
func Entropy(reviews []Review, logProb func(Review) float64) float64 {
	sum, tokens := 0.0, 0
	for _, r := range reviews {
		sum -= logProb(r)
		tokens += r.Tokens()
	}
	return sum / float64(tokens)
}
