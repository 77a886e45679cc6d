package demo

import (
	_ "embed" // the grammar
	"fmt"
	"math/rand/v2"
	"sync"
)

//go:embed reviews.txt
var reviews string

// Films is the grammar of film reviews: short texts about films of eight topics, for or against them.
//
// What bigrams cannot see: nouns are the topic's, pronouns the director's, verbs keep one tense, and sentences are mostly of one mind, whatever is
// negated ("hardly dull") or conceded ("the acting is dull but the ending moved me") on the way.
var Films = sync.OnceValue(func() *Grammar {
	g, err := parseGrammar(reviews)
	if err != nil {
		panic(fmt.Sprintf("demo: reviews.txt: %v", err))
	}
	return g
})

// A Corpus is what the stages of a demo read.
type Corpus struct {
	Train   []Review // for maximum likelihood
	HeldOut []Review // drawn alike
	Prompts []Prompt // whose samples are compared
	Fresh   []Prompt // to measure on: in no other part
}

// A Prompt is a review's beginning, as a line of a file.
type Prompt struct {
	Prompt string `json:"prompt"`
}

// NewCorpus draws a corpus for a seed: so many reviews to train on and to hold out, and so many different prompts, none of which begins a review of the
// corpus.
func NewCorpus(seed int64, train, heldOut, prompts, fresh int) Corpus {
	g, rng := Films(), rand.New(rand.NewPCG(uint64(seed), 3))
	var c Corpus
	known := map[string]bool{}
	for range train + heldOut {
		r := g.Draw(rng)
		known[r.Prompt] = true
		c.Train = append(c.Train, r)
	}
	c.Train, c.HeldOut = c.Train[:train], c.Train[train:]
	for len(c.Prompts) < prompts+fresh {
		if p := g.Draw(rng).Prompt; !known[p] {
			known[p] = true
			c.Prompts = append(c.Prompts, Prompt{p})
		}
	}
	c.Prompts, c.Fresh = c.Prompts[:prompts], c.Prompts[prompts:]
	return c
}
