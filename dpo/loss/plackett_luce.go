package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// absent stands for −∞ where a softmax must stay finite.
const absent = -1e30

// The DPO loss for a ranking of K completions under the Plackett–Luce model, arXiv 2305.18290, Appendix A.3:
//
//	−Σ_k [ r_k − log Σ_{j≥k} exp(r_j) ]
//
// the best first, as the choices that make the ranking up: see [Choices], which also says what ties and completions that are not
// ranked come to. With K = 2 it is the sigmoid loss.
func init() {
	register(Loss{
		Name:       "plackett_luce",
		Says:       "-sum over k of log(exp r_k / (exp r_k + ... + exp r_K)), r the rewards of a ranking, the best first",
		Paper:      "Rafailov et al. 2023, arXiv 2305.18290, Appendix A.3",
		Settings:   []settings.Setting{beta},
		Divided:    true,
		Difference: true,
		losses: func(f formula, in inputs) *onnx.Value {
			there := f.Op("Greater", []*onnx.Value{in.rivals, f.Scalar(f.t, 0)}, nil)
			rivals := f.Op("Where", []*onnx.Value{there, f.row(in.rewards), f.Scalar(f.t, absent)}, nil) // [G,Q,K]
			all := f.Op("ReduceLogSumExp", []*onnx.Value{rivals, f.Ints(2)}, onnx.Attrs{"keepdims": 0})
			return f.sub(f.sum(f.mul(in.choices, all)), f.sum(f.mul(in.wins, in.rewards)))
		},
	})
}
