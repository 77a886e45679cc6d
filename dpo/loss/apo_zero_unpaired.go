package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Anchored preference optimization, D'Oosterlinck et al. 2024, arXiv 2408.06266, Equation 7, taken apart for single completions that are
// labelled desirable or not, as TRL's KTOTrainer has it: a desirable one rises and another falls, each against the reference.
//
//	λ_D σ(−r)     of a desirable completion
//	λ_U σ(r)      of another
func init() {
	register(Loss{
		Name:  "apo_zero_unpaired",
		Says:  "lambda·sigmoid(-r) of an answer whose label is true, lambda·sigmoid(r) of another",
		Paper: "D'Oosterlinck et al. 2024, arXiv 2408.06266, Equation 7, taken apart as TRL has it",
		Settings: []settings.Setting{beta, {Name: "desirable_weight", Default: "1", Range: settings.AtLeast(0), About: "weight of answers whose label is true"},
			{Name: "undesirable_weight", Default: "1", Range: settings.AtLeast(0), About: "weight of answers whose label is false"}},
		Unpaired: true,
		losses: func(f formula, in inputs) *onnx.Value {
			against := f.sub(f.Scalar(f.t, 1), in.label)
			weight := f.add(f.mul(in.label, in.scalars["desirable_weight"]), f.mul(against, in.scalars["undesirable_weight"]))
			return f.mul(weight, f.sigmoid(f.mul(f.sub(against, in.label), f.sum(in.rewards))))
		},
	})
}
