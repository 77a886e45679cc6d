package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Anchored preference optimization, D'Oosterlinck et al. 2024, arXiv 2408.06266, Equation 8, for chosen answers that are worse than what
// the model writes: both fall against the reference, the rejected one further.
//
//	σ(r₁) + σ(r₂ − r₁)
func init() {
	register(Loss{
		Name:     "apo_down",
		Says:     "sigmoid(r_chosen) + sigmoid(-beta·h)",
		Paper:    "D'Oosterlinck et al. 2024, arXiv 2408.06266, Equation 8",
		Settings: []settings.Setting{beta},
		Pairs:    true,
		losses: func(f formula, in inputs) *onnx.Value {
			return f.add(f.sigmoid(f.chosen(in.rewards)), f.sigmoid(f.neg(f.lead(in.rewards))))
		},
	})
}
