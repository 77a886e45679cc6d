package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Identity preference optimization, Azar et al. 2023, arXiv 2310.12036, Equation 17, β being their τ:
//
//	(h − 1/(2β))²
//
// with log-probs summed over tokens, as the paper has them and the DPO paper's own code. What TRL calls "ipo" is ipo_mean.
func init() {
	register(Loss{
		Name:       "ipo",
		Says:       "(h - 1/(2·beta))^2, the log-probs of h summed over tokens, as the DPO paper's code has it",
		Paper:      "Azar et al. 2023, arXiv 2310.12036, Equation 17",
		Settings:   []settings.Setting{beta},
		Pairs:      true,
		Difference: true,
		losses:     identity,
	})
}

// identity is (ratio₁ − ratio₂ − 1/(2β))² of each group, [G].
func identity(f formula, in inputs) *onnx.Value {
	short := f.sub(f.lead(in.ratios), f.div(f.Scalar(f.t, 0.5), in.scalars["beta"]))
	return f.mul(short, short)
}
