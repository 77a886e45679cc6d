package demo

import (
	"maps"
	"strings"
)

// worth is how much the words of a rule say, from 1 to 3; those of its variants "up" for the film, those of "down" against it.
var worth = map[string]float64{"fair": 1, "good": 2, "great": 3, "success": 2, "pleases": 2, "pleased": 2, "helps": 2, "manner": 2}

// mostWorth bounds what a word is worth when strengthened.
const mostWorth = 4.5

// A sign is a word that changes what opinions count.
type sign int

const (
	stop        sign = iota // ends a sentence
	pause                   // ends a clause
	contrast                // what came before it in the sentence no longer counts
	concession              // the clause that it begins does not count
	reversal                // nothing before it counts any longer
	negation                // the next opinion counts half, and for the other side; two negations undo each other
	strengthens             // the next opinion counts half as much again
	weakens                 // the next opinion counts half
)

var signs = map[string]sign{
	".": stop, ",": pause, "but": contrast, "yet": contrast, "although": concession, "though": concession, "despite": concession, "however": reversal, "still": reversal,
	"not": negation, "never": negation, "neither": negation, "nor": negation, "hardly": negation, "barely": negation, "scarcely": negation, "far": negation, "no": negation,
}

// A Critic knows what words are worth, and reads any text.
type Critic struct {
	worth map[string]float64
	signs map[string]sign
}

// NewCritic takes the worth of words from a grammar's rules.
func NewCritic(g *Grammar) *Critic {
	c := &Critic{worth: map[string]float64{}, signs: maps.Clone(signs)}
	for _, name := range g.order {
		rule, variant, _ := strings.Cut(name, ".")
		for word := range g.rules[name].words {
			switch {
			case worth[rule] > 0 && strings.HasPrefix(variant, "up"):
				c.worth[word] = worth[rule]
			case worth[rule] > 0:
				c.worth[word] = -worth[rule]
			case rule == "intensely":
				c.signs[word] = strengthens
			case rule == "slightly":
				c.signs[word] = weakens
			}
		}
	}
	return c
}

// Reward is how well a text speaks of a film, from −4.5 to 4.5: the mean of its sentences that have an opinion which counts, each the mean of its
// opinions, and 0 where there is none. An opinion counts as its word's worth, halved and turned over by a negation before it, half as much
// again or half by a word of degree, 4.5 at most. Of a sentence with "but" or "yet" counts what comes after, of one with "although", "though" or "despite"
// what is not in that clause, and of a text with "however" or "still" what comes after it. It reads any text: words that it does not know say nothing.
func (c *Critic) Reward(text string) float64 {
	h := hearing{factor: 1}
	for word := range strings.FieldsSeq(text) {
		if s, ok := c.signs[word]; ok {
			h.sign(s)
		} else if worth, ok := c.worth[word]; ok {
			h.opinion(worth)
		}
	}
	h.sign(stop)
	return mean(h.sentences)
}

// A hearing is what counts of a text so far.
type hearing struct {
	sentences []float64
	opinions  []float64 // of this sentence
	factor    float64   // of the next opinion
	conceded  bool      // this clause
}

func (h *hearing) opinion(worth float64) {
	if !h.conceded {
		h.opinions = append(h.opinions, max(-mostWorth, min(mostWorth, worth*h.factor)))
	}
	h.factor = 1
}

func (h *hearing) sign(s sign) {
	switch s {
	case negation:
		h.factor = -h.factor / 2
		if h.factor > 0 { // the second
			h.factor *= 4
		}
		return
	case strengthens:
		h.factor *= 1.5
		return
	case weakens:
		h.factor /= 2
		return
	case stop:
		if len(h.opinions) > 0 {
			h.sentences = append(h.sentences, mean(h.opinions))
		}
		h.opinions = nil
	case contrast:
		h.opinions = nil
	case reversal:
		h.sentences, h.opinions = nil, nil
	}
	h.factor, h.conceded = 1, s == concession
}

func mean(of []float64) (sum float64) {
	for _, v := range of {
		sum += v / float64(len(of))
	}
	return sum
}

// Count is what counting words gives: those for the film less those against it.
func (c *Critic) Count(text string) (n float64) {
	for word := range strings.FieldsSeq(text) {
		switch v := c.worth[word]; {
		case v > 0:
			n++
		case v < 0:
			n--
		}
	}
	return n
}
