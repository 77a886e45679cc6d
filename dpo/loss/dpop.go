package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// DPO-positive, Pal et al. 2024, arXiv 2402.13228, Equation 3: the DPO loss less what the chosen answer has lost against the reference,
//
//	−log σ(β·(h − λ·max(0, −ratio₁)))
//
// At ratio₁ = 0, where training begins, the second term's derivative is taken to be 0.
func init() {
	register(Loss{
		Name:     "dpop",
		Says:     "-log sigmoid(beta·(h - lambda·max(0, log pi_ref/pi chosen)))",
		Paper:    "Pal et al. 2024, arXiv 2402.13228, Equation 3",
		Settings: []settings.Setting{beta, {Name: "lambda", Default: "50", Range: settings.AtLeast(0), About: "what a nat costs that the chosen answer has lost"}},
		Pairs:    true,
		losses: func(f formula, in inputs) *onnx.Value {
			lost := f.relu(f.neg(f.chosen(in.rewards)))
			return f.neg(f.logSigmoid(f.sub(f.lead(in.rewards), f.mul(in.scalars["lambda"], lost))))
		},
	})
}
