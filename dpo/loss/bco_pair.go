package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Binary classifier optimization, Jung et al. 2024, arXiv 2404.04656, of pairs: a classifier whose logit is the reward, less a shift δ,
// tells chosen from rejected answers.
//
//	−log σ(r₁ − δ) − log σ(−(r₂ − δ))
//
// The published shift is the mean reward of both, δ = (E r₁ + E r₂)/2, which makes the bound on DPO's loss tight. It is estimated by the
// running mean over the steps so far, this one among them, each step's mean counted once, and no gradient flows through it. What TRL calls
// bco_pair has no shift, δ = 0: here bco_pair_unshifted.
func init() {
	register(Loss{
		Name:     "bco_pair",
		Says:     "-log sigmoid(r1 - delta) - log sigmoid(delta - r2), delta the running mean of all rewards so far, as published",
		Paper:    "Jung et al. 2024, arXiv 2404.04656",
		Settings: []settings.Setting{beta},
		Scope:    Step,
		State:    []string{"mean", "steps"},
		Pairs:    true,
		losses: func(f formula, in inputs) *onnx.Value {
			now := f.still(f.mean(in.rewards))
			steps := f.add(in.state["steps"], f.Scalar(f.t, 1))
			shift := f.add(in.state["mean"], f.div(f.sub(now, in.state["mean"]), steps))
			in.next["mean"], in.next["steps"] = shift, steps
			return classified(f, f.sub(in.rewards, shift))
		},
	})
	register(Loss{
		Name:     "bco_pair_unshifted",
		Says:     "-log sigmoid(r1) - log sigmoid(-r2): bco_pair with delta 0, what TRL calls bco_pair",
		Paper:    "Jung et al. 2024, arXiv 2404.04656, without the reward shift",
		Settings: []settings.Setting{beta},
		Pairs:    true,
		losses:   func(f formula, in inputs) *onnx.Value { return classified(f, in.rewards) },
	})
}

// classified is −log σ(z₁) − log σ(−z₂) of logits [G,2], [G].
func classified(f formula, logits *onnx.Value) *onnx.Value {
	return f.neg(f.add(f.logSigmoid(f.chosen(logits)), f.logSigmoid(f.neg(f.rejected(logits)))))
}
