package loss

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// The DPO loss, arXiv 2305.18290, Equation 7, with the label smoothing of "A note on DPO with noisy preferences"
// (Mitchell 2023), Equation 3, for preferences that are wrong with probability ε:
//
//	−(1 − ε) log σ(r₁ − r₂) − ε log σ(r₂ − r₁)
func init() {
	register(Loss{
		Name:    "sigmoid",
		Says:    "-(1 - eps)·log sigmoid(beta·h) - eps·log sigmoid(-beta·h)",
		Paper:   "Rafailov et al. 2023, arXiv 2305.18290, Equation 7; label smoothing: Mitchell 2023, Equation 3",
		Scalars: []Scalar{beta, labelSmoothing},
		Pairs:   true,
		losses: func(f formula, in inputs) *onnx.Value {
			right, wrong := labels(f, in)
			return crossEntropy(f, in.rewards, right, wrong)
		},
	})
}

// labels gives the shares of right and wrong labels, 1 − ε and ε, each [1].
func labels(f formula, in inputs) (right, wrong *onnx.Value) {
	wrong = f.Op("Reshape", []*onnx.Value{in.scalars["label_smoothing"], f.Ints(1)}, nil)
	return f.sub(f.Scalar(f.t, 1), wrong), wrong
}

// crossEntropy is −right·log σ(r₁ − r₂) − wrong·log σ(r₂ − r₁) of each group, [G]; right and wrong are [1].
//
// A softmax over two rewards is the sigmoid of their difference, so both logarithms come from one LogSoftmax, which
// subtracts the larger reward first: nothing overflows, and the derivative at r₁ = r₂, where training begins, is exact.
func crossEntropy(f formula, rewards, right, wrong *onnx.Value) *onnx.Value {
	target := f.Op("Concat", []*onnx.Value{right, wrong}, onnx.Attrs{"axis": 0})
	logs := f.Op("LogSoftmax", []*onnx.Value{rewards}, onnx.Attrs{"axis": 1})
	return f.neg(f.sum(f.mul(logs, target)))
}
