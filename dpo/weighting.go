package dpo

import (
	"math"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// WPO, Zhou et al. 2024, arXiv 2406.11827, Equation 2, as TRL has it: a pair counts the more, the more likely the policy itself is to write
// its answers. Each answer's weight is
//
//	exp( mean over its tokens of log π(y_t) − log Σ_v π(v)² )
//
// the likelihood of its tokens over what it would be in the mean of the policy's own, so that a policy that is unsure weighs no less; a
// pair's is the product of both. No gradient flows through it.
func trustOf(groups []datasets.Example, pass *engine.Pass) []float64 {
	out, at := make([]float64, len(groups)), 0
	for g, x := range groups {
		for k := range x.Completions {
			n, sum := scored(x, k), 0.0
			for range n {
				sum += pass.TokenLogProbs[at] - pass.TokenLogSquares[at]
				at++
			}
			out[g] += sum / float64(n)
		}
		out[g] = math.Exp(out[g])
	}
	return out
}

// trust is what groups' shares of the loss are multiplied by; nil for 1.
func (t *Trainer) trust(groups []datasets.Example, pass *engine.Pass) []float64 {
	if !t.UseWeighting {
		return nil
	}
	return trustOf(groups, pass)
}

// checkWeighting reports a use-weighting that makes no sense with loss l.
func (c Config) checkWeighting(l *loss.Loss) (wrong []string) {
	if !c.UseWeighting {
		return nil
	}
	switch {
	case c.Objective == Likelihood || c.Objective == Reward:
		wrong = append(wrong, "use-weighting weighs the groups of a language model's preferences: it is a setting of train")
	case l.Scope == loss.Step || l.Unpaired:
		wrong = append(wrong, "use-weighting weighs each group's loss by itself, loss "+c.Loss+" is one of all groups of a step: leave one of them out")
	}
	return wrong
}
