package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Contrastive preference optimization, Xu et al. 2024, arXiv 2401.08417, Equation 3 with the likelihood of the chosen answer, without a
// reference:
//
//	−log σ(r₁ − r₂) − α·log π(y₁|x)/T,   r = β·log π(y|x)
//
// T is the mean number of scored tokens of the step's chosen answers, so that the second term is a mean over tokens, as in TRL and the
// paper's code. With label smoothing ε the two labels weigh 1 − ε and ε.
func init() {
	register(Loss{
		Name:     "cpo",
		Says:     "as sigmoid, h without the reference, + alpha·sft",
		Paper:    "Xu et al. 2024, arXiv 2401.08417, Equation 3",
		Settings: []settings.Setting{beta, labelSmoothing, {Name: "alpha", Default: "1", Range: settings.AtLeast(0), About: "weight of the chosen answers' likelihood"}},
		Pairs:    true,
		Free:     true,
		losses: func(f formula, in inputs) *onnx.Value {
			return f.add(logistic(f, in, f.lead(in.rewards)), f.mul(in.scalars["alpha"], likelihood(f, in)))
		},
	})
}
