package demo

import (
	"math"
	"strings"
)

// A Bigram knows how often a word follows another, and nothing else: what is to be had without looking further back.
type Bigram struct {
	pairs  map[[2]string]float64
	before map[string]float64
	added  float64 // to each pair's count
	words  float64 // of the vocabulary, the end of the text among them
}

// NewBigram counts the pairs of words of reviews' whole texts, and adds a little to the count of each pair that a vocabulary of that many words
// can form (add-k smoothing).
func NewBigram(reviews []Review, words int, added float64) *Bigram {
	b := &Bigram{pairs: map[[2]string]float64{}, before: map[string]float64{}, added: added, words: float64(words)}
	for _, r := range reviews {
		eachPair(r, func(pair [2]string, _ bool) {
			b.pairs[pair]++
			b.before[pair[0]]++
		})
	}
	return b
}

// LogProb is the log-probability, in nats, of a review's completion and that it ends there, given its prompt.
func (b *Bigram) LogProb(r Review) (sum float64) {
	eachPair(r, func(pair [2]string, completion bool) {
		if completion {
			sum += math.Log((b.pairs[pair] + b.added) / (b.before[pair[0]] + b.added*b.words))
		}
	})
	return sum
}

// eachPair goes over neighbouring words of a review, up to its end, and says of each pair whether its second word is the completion's.
func eachPair(r Review, visit func(pair [2]string, completion bool)) {
	prompt := len(strings.Fields(r.Prompt))
	words := append(strings.Fields(r.Prompt+r.Completion), end)
	for i, word := range words[1:] {
		visit([2]string{words[i], word}, i+1 >= prompt)
	}
}
