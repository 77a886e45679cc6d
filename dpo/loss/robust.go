package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// The provably robust DPO loss of Ray Chowdhury et al. 2024, arXiv 2403.00409, for preferences that are wrong with
// probability ε:
//
//	[ −(1 − ε) log σ(r₁ − r₂) + ε log σ(r₂ − r₁) ] / (1 − 2ε)
//
// Its expectation over such labels is the sigmoid loss of the right ones, and so it has no lower bound: where r₁ − r₂ is
// large, it falls as −ε·(r₁ − r₂)/(1 − 2ε). With ε = 0 it is the sigmoid loss.
func init() {
	register(Loss{
		Name:       "robust",
		Says:       "(-(1 - eps)·log sigmoid(beta·h) + eps·log sigmoid(-beta·h)) / (1 - 2·eps)",
		Paper:      "Ray Chowdhury et al. 2024, arXiv 2403.00409",
		Settings:   []settings.Setting{beta, labelSmoothing},
		Pairs:      true,
		Difference: true,
		losses: func(f formula, in inputs) *onnx.Value {
			right, wrong := labels(f, in)
			target := f.Op("Concat", []*onnx.Value{right, f.neg(wrong)}, onnx.Attrs{"axis": 0})
			return f.div(crossEntropy(f, in.rewards, target), f.sub(right, wrong))
		},
	})
}
