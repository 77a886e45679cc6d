package dpo

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
)

// randomFor gives the numbers that a sample is drawn by, one a token: a function of the seed, the prompt's row in the whole data, and
// the sample's number, so that neither batches nor a restart change them.
func (c GenerateConfig) randomFor(row int64, sample int) *rand.Rand {
	return randomFor("generate: seed %d, row %d, sample %d", c.Seed, row, sample)
}

// randomFor gives the numbers of what the text names, and of nothing else.
func randomFor(format string, args ...any) *rand.Rand {
	return rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "dpo-ort "+format, args...))))
}

// draw takes a token: the likeliest at temperature 0, of equal ones the first; else by u from [0,1), where u lies among the
// probabilities' running sums.
func (c GenerateConfig) draw(logits, probs []float32, u float64) int32 {
	switch {
	case c.Temperature == 0:
		return likeliest(logits)
	case c.TopK == 0 && c.TopP == 1 && c.MinP == 0:
		return inverse(probs, u)
	}
	kept := c.kept(probs)
	of := make([]float32, len(kept))
	for i, id := range kept {
		of[i] = probs[id]
	}
	return kept[inverse(of, u)]
}

func likeliest(logits []float32) int32 {
	best := 0
	for i, x := range logits {
		if x > logits[best] {
			best = i
		}
	}
	return int32(best)
}

// inverse is the first place at which the running sum exceeds u of the whole.
func inverse(probs []float32, u float64) int32 {
	most, sum := u*mass(probs), 0.0
	last := 0
	for i, p := range probs {
		if sum += float64(p); p > 0 {
			if last = i; sum > most {
				break
			}
		}
	}
	return int32(last)
}

func mass(probs []float32) float64 {
	sum := 0.0
	for _, p := range probs {
		sum += float64(p)
	}
	return sum
}

// kept are the tokens that top-k, top-p and min-p leave, one after the other as in transformers, in the order of their ids.
func (c GenerateConfig) kept(probs []float32) []int32 {
	ids := c.candidates(probs)
	slices.SortFunc(ids, func(a, b int32) int {
		return cmp.Or(cmp.Compare(probs[b], probs[a]), cmp.Compare(a, b))
	})
	total := 0.0 // what top-p is a share of
	if c.TopK > 0 && c.TopK < len(ids) {
		n := c.TopK
		for n < len(ids) && probs[ids[n]] == probs[ids[c.TopK-1]] {
			n++
		}
		ids = ids[:n]
	}
	if c.TopK == 0 {
		total = mass(probs)
	} else {
		for _, id := range ids {
			total += float64(probs[id])
		}
	}
	if c.TopP < 1 {
		n, before := 0, 0.0
		for n < len(ids) && (n == 0 || before < c.TopP*total) {
			before += float64(probs[ids[n]])
			n++
		}
		ids = ids[:n]
	}
	least := c.MinP * float64(probs[ids[0]])
	for float64(probs[ids[len(ids)-1]]) < least {
		ids = ids[:len(ids)-1]
	}
	slices.Sort(ids)
	return ids
}

// candidates are tokens among which those to be kept are, as few as a look or two finds, since sorting the whole vocabulary for each
// token would take longer than the model.
func (c GenerateConfig) candidates(probs []float32) []int32 {
	const coarser = 16
	likely, whole := slices.Max(probs), mass(probs)
	for least := likely / coarser; ; least /= coarser {
		var ids []int32
		sum := 0.0
		for i, p := range probs {
			if p >= least {
				ids = append(ids, int32(i))
				sum += float64(p)
			}
		}
		enough := len(ids) >= c.TopK && (c.TopP == 1 || c.TopK > 0 || sum >= c.TopP*whole)
		if c.TopK == 0 && c.TopP == 1 {
			enough = float64(least) <= c.MinP*float64(likely)
		}
		if enough || least == 0 {
			return ids
		}
	}
}
