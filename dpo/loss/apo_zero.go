package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Anchored preference optimization, D'Oosterlinck et al. 2024, arXiv 2408.06266, Equation 7, for chosen answers that are better than what
// the model writes: the chosen one rises and the rejected one falls, both against the reference.
//
//	σ(−r₁) + σ(r₂)
func init() {
	register(Loss{
		Name:     "apo_zero",
		Says:     "sigmoid(-r_chosen) + sigmoid(r_rejected)",
		Paper:    "D'Oosterlinck et al. 2024, arXiv 2408.06266, Equation 7",
		Settings: []settings.Setting{beta},
		Pairs:    true,
		losses: func(f formula, in inputs) *onnx.Value {
			return f.sum(f.sigmoid(f.mul(in.rewards, f.pair(-1, 1))))
		},
	})
}
