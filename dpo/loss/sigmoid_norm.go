package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// The DPO loss with log-probs averaged over tokens, Meng et al. 2024, arXiv 2405.14734, Table 3 (length-normalised DPO), as TRL has it:
//
//	−log σ(β·(ratio₁/|y₁| − ratio₂/|y₂|)),   |y| the scored tokens
//
// The mean over tokens is smaller than the sum, so β must be larger.
func init() {
	register(Loss{
		Name:       "sigmoid_norm",
		Says:       "as sigmoid, the log-probs of h averaged over each answer's tokens",
		Paper:      "Meng et al. 2024, arXiv 2405.14734, DPO with length normalisation",
		Settings:   []settings.Setting{beta},
		Pairs:      true,
		Averaged:   true,
		Difference: true,
		losses:     func(f formula, in inputs) *onnx.Value { return f.neg(f.logSigmoid(f.lead(in.rewards))) },
	})
}
