package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Self-play preference optimization, Wu et al. 2024, arXiv 2405.00675, Equation 4.7, where the chosen answer is sure to win (P is 1 for it
// and 0 for the other), and β is 1/η:
//
//	(ratio₁ − 1/(2β))² + (ratio₂ + 1/(2β))²
func init() {
	register(Loss{
		Name:     "sppo_hard",
		Says:     "(log pi/pi_ref chosen - 1/(2·beta))^2 + (log pi/pi_ref rejected + 1/(2·beta))^2",
		Paper:    "Wu et al. 2024, arXiv 2405.00675, Equation 4.7, with probabilities of 0 and 1",
		Settings: []settings.Setting{beta},
		Pairs:    true,
		losses: func(f formula, in inputs) *onnx.Value {
			short := f.sub(in.ratios, f.div(f.pair(0.5, -0.5), in.scalars["beta"]))
			return f.sum(f.mul(short, short))
		},
	})
}
