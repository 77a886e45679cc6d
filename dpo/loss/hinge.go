package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// The hinge loss of SLiC-HF, Zhao et al. 2023, arXiv 2305.10425, on log-probs relative to the reference's, as RSO has it,
// Liu et al. 2023, arXiv 2309.06657:
//
//	max(0, 1 − (r₁ − r₂))
//
// At the kink, r₁ − r₂ = 1, its gradient is taken to be 0, as beyond.
func init() {
	register(Loss{
		Name:       "hinge",
		Says:       "max(0, 1 - beta·h)",
		Paper:      "Zhao et al. 2023, arXiv 2305.10425; relative to the reference: Liu et al. 2023, arXiv 2309.06657",
		Settings:   []settings.Setting{beta},
		Pairs:      true,
		Difference: true,
		losses: func(f formula, in inputs) *onnx.Value {
			return f.relu(f.sub(f.Scalar(f.t, 1), f.lead(in.rewards)))
		},
	})
}
