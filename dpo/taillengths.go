package dpo

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
)

// LD-DPO, Liu et al. 2024, arXiv 2409.06411: of a pair's longer answer the tokens beyond the shorter one's length weigh α in its
// log-probability, of policy and reference alike, so that length by itself is worth less. With α = 1 it is DPO. Of several answers the
// shortest counts.

// tailWeights gives the weight of each scored token, in the order of a batch.
func tailWeights(groups []datasets.Example, alpha float64) []float64 {
	var out []float64
	for _, x := range groups {
		shared := scoredTokens(x)
		for k := range x.Completions {
			for i := range scored(x, k) {
				w := 1.0
				if i >= shared {
					w = alpha
				}
				out = append(out, w)
			}
		}
	}
	return out
}

// checkTail reports an ld-alpha that makes no sense with loss l.
func (c Config) checkTail(l *loss.Loss) (wrong []string) {
	switch a := c.LDAlpha; {
	case a == nil:
	case c.Objective == Likelihood || c.Objective == Reward || l.Unpaired:
		wrong = append(wrong, "ld-alpha weighs what the longer of two answers has beyond the shorter; there is one answer, or no log-probability: leave it out")
	case !(*a >= 0 && *a <= 1):
		wrong = append(wrong, fmt.Sprintf("ld-alpha must lie in [0, 1], it is %v", *a))
	}
	return wrong
}
