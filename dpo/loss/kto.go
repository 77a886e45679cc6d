package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Kahneman–Tversky optimization, Ethayarajh et al. 2024, arXiv 2402.01306, Equation 7, of single completions that are labelled desirable or
// not: with ratio = log π(y|x) − log π_ref(y|x)
//
//	λ_D (1 − σ(β (ratio − z₀)))     of a desirable completion
//	λ_U (1 − σ(β (z₀ − ratio)))     of another
//
// The reference point z₀ = max(0, E log π(y′|x) − log π_ref(y′|x)) estimates the divergence of π and π_ref (Section 4.1). Its y′ are the
// completions of the step, each after another one's prompt (drift), and no gradient flows through it.
func init() {
	register(Loss{
		Name:  "kto",
		Says:  "lambda·(1 - sigmoid(±beta·(h - z))), h the log-ratio of one answer, + where its label is true, z the step's KL estimate",
		Paper: "Ethayarajh et al. 2024, arXiv 2402.01306, Equation 7",
		Settings: []settings.Setting{beta, {Name: "desirable_weight", Default: "1", Range: settings.AtLeast(0), About: "weight of answers whose label is true"},
			{Name: "undesirable_weight", Default: "1", Range: settings.AtLeast(0), About: "weight of answers whose label is false"}},
		Scope:    Step,
		Unpaired: true,
		losses: func(f formula, in inputs) *onnx.Value {
			z := f.Op("Max", []*onnx.Value{f.mean(in.drift), f.Scalar(f.t, 0)}, nil)
			against := f.sub(f.Scalar(f.t, 1), in.label)
			short := f.mul(f.sub(against, in.label), f.mul(in.scalars["beta"], f.sub(f.sum(in.ratios), z)))
			weight := f.add(f.mul(in.label, in.scalars["desirable_weight"]), f.mul(against, in.scalars["undesirable_weight"]))
			return f.mul(weight, f.sigmoid(short))
		},
	})
}
