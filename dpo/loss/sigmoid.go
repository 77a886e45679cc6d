package loss

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// The DPO loss, arXiv 2305.18290, Equation 7, with the label smoothing of "A note on DPO with noisy preferences"
// (Mitchell 2023), Equation 3, for preferences that are wrong with probability ε:
//
//	−(1 − ε) log σ(r₁ − r₂) − ε log σ(r₂ − r₁)
//
// A softmax over two rewards is the sigmoid of their difference, so both logarithms come from one LogSoftmax, which
// subtracts the larger reward first: nothing overflows, and the derivative at r₁ = r₂, where training begins, is exact.
func init() {
	register(Loss{
		Name:    "sigmoid",
		Paper:   "Rafailov et al. 2023, arXiv 2305.18290, Equation 7; label smoothing: Mitchell 2023, Equation 3",
		Scalars: []Scalar{beta, {"label_smoothing", 0}},
		Pairs:   true,
		losses: func(f formula, in inputs) *onnx.Value {
			wrong := f.Op("Reshape", []*onnx.Value{in.scalars["label_smoothing"], f.Ints(1)}, nil)
			right := f.sub(f.Scalar(f.t, 1), wrong)
			target := f.Op("Concat", []*onnx.Value{right, wrong}, onnx.Attrs{"axis": 0})
			logs := f.Op("LogSoftmax", []*onnx.Value{in.rewards}, onnx.Attrs{"axis": 1})
			return f.Op("Neg", []*onnx.Value{f.sum(f.mul(logs, target))}, nil)
		},
	})
}
