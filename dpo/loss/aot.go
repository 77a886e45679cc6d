package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Distributional preference alignment by optimal transport, Melnyk et al. 2024, arXiv 2406.05882: the rewards
// of what is chosen are to dominate, as a distribution over the step, those of what is rejected (or the policy's leads those of the
// reference). In one dimension the optimal transport between two samples pairs them in their sorted order, so with u₍ᵢ₎ the i-th
// smallest of u
//
//	−(1 − ε) log σ(β (u₍ᵢ₎ − v₍ᵢ₎)) − ε log σ(−β (u₍ᵢ₎ − v₍ᵢ₎))
//
// aot, of pairs:               u = log π(y₁|x) − log π(y₂|x),          v the same of π_ref
// aot_unpaired:                u = log π(y₁|x) − log π_ref(y₁|x),      v the same of y₂
//
// The losses are of places in the order, not of groups.
func init() {
	register(Loss{
		Name:     "aot",
		Says:     "-log sigmoid(beta·(u_i - v_i)), u and v the policy's and the reference's log pi(y1) - log pi(y2) of the step's pairs, each sorted",
		Paper:    "Melnyk et al. 2024, arXiv 2406.05882, paired",
		Settings: []settings.Setting{beta, labelSmoothing},
		Scope:    Step,
		Pairs:    true,
		losses: func(f formula, in inputs) *onnx.Value {
			return transported(f, in, f.lead(in.policy), f.lead(in.reference))
		},
	})
	register(Loss{
		Name:     "aot_unpaired",
		Says:     "-log sigmoid(beta·(u_i - v_i)), u and v the step's log-ratios of chosen and of rejected answers, each sorted",
		Paper:    "Melnyk et al. 2024, arXiv 2406.05882, unpaired",
		Settings: []settings.Setting{beta, labelSmoothing},
		Scope:    Step,
		Pairs:    true,
		losses: func(f formula, in inputs) *onnx.Value {
			return transported(f, in, f.chosen(in.ratios), f.rejected(in.ratios))
		},
	})
}

// transported is the loss of each place of two samples, [G], in rising order.
func transported(f formula, in inputs, over, under *onnx.Value) *onnx.Value {
	return logistic(f, in, f.mul(in.scalars["beta"], f.sub(f.sorted(over), f.sorted(under))))
}

// sorted puts [G] in rising order; equal ones stay in theirs.
func (f formula) sorted(x *onnx.Value) *onnx.Value {
	all := f.Op("Shape", []*onnx.Value{x}, nil)
	return f.Node(&onnx.Node{Op: "TopK", Inputs: []*onnx.Value{x, all}, Attrs: onnx.Attrs{"axis": 0, "largest": 0, "sorted": 1}}, 2)[0]
}
