package loss

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// absent stands for −∞ where a softmax must stay finite.
const absent = -1e30

// The DPO loss for a ranking of K completions under the Plackett–Luce model, arXiv 2305.18290, Appendix A.3:
//
//	−Σ_k [ r_k − log Σ_{j≥k} exp(r_j) ]
//
// the best first. Padding (mask 0) is neither ranked nor among those that a completion is ranked above. With K = 2 it is
// the sigmoid loss.
func init() {
	register(Loss{
		Name:    "plackett_luce",
		Says:    "-sum over k of log(exp r_k / (exp r_k + ... + exp r_K)), r the rewards of a ranking, the best first",
		Paper:   "Rafailov et al. 2023, arXiv 2305.18290, Appendix A.3",
		Scalars: []Scalar{beta},
		losses: func(f formula, in inputs) *onnx.Value {
			place := f.Op("CumSum", []*onnx.Value{in.mask, f.Constant(onnx.IntTensor([]int64{1}, []int64{}...))}, nil)
			later := f.Op("GreaterOrEqual", []*onnx.Value{f.row(place), f.column(place)}, nil)
			there := f.Op("Greater", []*onnx.Value{f.row(in.mask), f.Scalar(f.t, 0)}, nil)
			left := f.Op("And", []*onnx.Value{later, there}, nil) // [G,K,K]: j is left when k is chosen
			rivals := f.Op("Where", []*onnx.Value{left, f.row(in.rewards), f.Scalar(f.t, absent)}, nil)
			all := f.Op("ReduceLogSumExp", []*onnx.Value{rivals, f.Ints(2)}, onnx.Attrs{"keepdims": 0})
			return f.sum(f.mul(f.sub(all, in.rewards), in.mask))
		},
	})
}
