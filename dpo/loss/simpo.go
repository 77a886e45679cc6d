package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Simple preference optimization, Meng et al. 2024, arXiv 2405.14734, Equation 6, without a reference, on log-probs averaged over tokens:
//
//	−log σ(r₁ − r₂ − γ),   r = β·log π(y|x)/|y|
//
// γ is the margin itself, as in the paper and TRL's simpo_gamma, not the ratio γ/β that the paper's code has a setting for. With label
// smoothing ε the two labels weigh 1 − ε and ε.
func init() {
	register(Loss{
		Name:     "simpo",
		Says:     "as sigmoid of x = r_chosen - r_rejected - gamma, r = beta·log pi/|y|, no reference; gamma itself, not gamma/beta",
		Paper:    "Meng et al. 2024, arXiv 2405.14734, Equation 6",
		Settings: []settings.Setting{beta, labelSmoothing, {Name: "gamma", Default: "0.5", Range: settings.AtLeast(0), About: "by how much the chosen answer's reward should exceed the other's"}},
		Pairs:    true,
		Free:     true,
		Averaged: true,
		losses: func(f formula, in inputs) *onnx.Value {
			return logistic(f, in, f.sub(f.lead(in.rewards), in.scalars["gamma"]))
		},
	})
}
