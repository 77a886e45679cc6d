package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Noise contrastive alignment, Chen et al. 2024, arXiv 2402.05369, for pairs:
//
//	−log σ(r₁) − ½ log σ(−r₁) − ½ log σ(−r₂)
//
// It is a function of each reward, not of their difference, and so keeps the chosen answer's from falling.
func init() {
	register(Loss{
		Name:     "nca_pair",
		Says:     "-log sigmoid(r_chosen) - 1/2·log sigmoid(-r_chosen) - 1/2·log sigmoid(-r_rejected)",
		Paper:    "Chen et al. 2024, arXiv 2402.05369, for K = 2",
		Settings: []settings.Setting{beta},
		Pairs:    true,
		losses: func(f formula, in inputs) *onnx.Value {
			data, noise := f.chosen(f.logSigmoid(in.rewards)), f.sum(f.logSigmoid(f.neg(in.rewards)))
			return f.neg(f.add(data, f.mul(f.Scalar(f.t, 0.5), noise)))
		},
	})
}
