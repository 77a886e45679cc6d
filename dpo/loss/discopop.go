package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Discovered preference optimization, Lu et al. 2024, arXiv 2406.08414, Equation 5: the logistic loss where x = r₁ − r₂ is negative, the
// exponential one where it is positive, and a blend of width τ between them,
//
//	−log σ(x)·σ(−x/τ) + exp(−x)·σ(x/τ)
//
// The second product is exp(−x + log σ(x/τ)), whose exponent is not positive as long as τ ≤ 1. At x = 0, where training begins, the slope is
// (1 − log 2)/(4τ) − 3/4, which is positive for τ < 0.102: there the loss falls towards the wrong side, as the paper notes.
func init() {
	register(Loss{
		Name:       "discopop",
		Says:       "-log sigmoid(x)·sigmoid(-x/tau) + exp(-x)·sigmoid(x/tau), x = beta·h",
		Paper:      "Lu et al. 2024, arXiv 2406.08414, Equation 5",
		Settings:   []settings.Setting{beta, {Name: "tau", Default: "0.05", Range: settings.Above(0).AtMost(1), About: "width of the blend of the logistic and the exponential loss"}},
		Pairs:      true,
		Difference: true,
		losses: func(f formula, in inputs) *onnx.Value {
			x := f.lead(in.rewards)
			sharp := f.div(x, in.scalars["tau"])
			logistic := f.neg(f.mul(f.logSigmoid(x), f.sigmoid(f.neg(sharp))))
			return f.add(logistic, f.exp(f.sub(f.logSigmoid(sharp), x)))
		},
	})
}
