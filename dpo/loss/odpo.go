package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// DPO with an offset, Amini et al. 2024, arXiv 2402.10571: the chosen answer should win by what the row's margin says,
//
//	−log σ(r₁ − r₂ − α·margin)
//
// The paper's margins are log(s₁ − s₂), s being scores; any function of theirs that does not fall will do.
func init() {
	register(Loss{
		Name:     "odpo",
		Says:     "-log sigmoid(beta·h - alpha·margin), margin being a column of the data",
		Paper:    "Amini et al. 2024, arXiv 2402.10571, Section 3",
		Settings: []settings.Setting{beta, {Name: "alpha", Default: "1", Range: settings.AtLeast(0), About: "factor of the margin"}},
		Columns:  []string{"margin"},
		Pairs:    true,
		losses: func(f formula, in inputs) *onnx.Value {
			return f.neg(f.logSigmoid(f.sub(f.lead(in.rewards), f.mul(in.scalars["alpha"], in.margin))))
		},
	})
}
