package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Efficient exact optimization, Ji et al. 2024, arXiv 2402.00856, Equation 16, for K = 2: the reverse KL divergence of what the policy
// says of the pair from labels that are wrong with probability ε,
//
//	q·(log q − log(1 − ε)) + q̄·(log q̄ − log ε),   q = σ(r₁ − r₂), q̄ = σ(r₂ − r₁)
//
// ε must be positive, for log 0 is not finite; the paper takes 10⁻³.
func init() {
	register(Loss{
		Name:       "exo_pair",
		Says:       "q·(log q - log(1 - eps)) + q'·(log q' - log eps), q = sigmoid(beta·h), q' = sigmoid(-beta·h)",
		Paper:      "Ji et al. 2024, arXiv 2402.00856, Equation 16",
		Settings:   []settings.Setting{beta, someSmoothing},
		Pairs:      true,
		Difference: true,
		losses: func(f formula, in inputs) *onnx.Value {
			right, wrong := labels(f, in)
			x := f.lead(in.rewards)
			q, other := f.logSigmoid(x), f.logSigmoid(f.neg(x))
			return f.add(f.mul(f.exp(q), f.sub(q, f.log(right))), f.mul(f.exp(other), f.sub(other, f.log(wrong))))
		},
	})
}

// someSmoothing is label smoothing that is not 0.
var someSmoothing = settings.Setting{Name: labelSmoothing.Name, Default: "0.001", Range: settings.Above(0).Below(0.5), About: labelSmoothing.About, Flag: labelSmoothing.Flag}
