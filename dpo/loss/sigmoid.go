package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// The DPO loss, arXiv 2305.18290, Equation 7, with the label smoothing of "A note on DPO with noisy preferences"
// (Mitchell 2023), Equation 3, for preferences that are wrong with probability ε:
//
//	−(1 − ε) log σ(r₁ − r₂) − ε log σ(r₂ − r₁)
//
// Where votes are divided, or answers tied, each share of them is a label: the loss is the mean over labels.
func init() {
	register(Loss{
		Name:       "sigmoid",
		Says:       "-(1 - eps)·log sigmoid(beta·h) - eps·log sigmoid(-beta·h)",
		Paper:      "Rafailov et al. 2023, arXiv 2305.18290, Equation 7; label smoothing: Mitchell 2023, Equation 3",
		Settings:   []settings.Setting{beta, labelSmoothing},
		Pairs:      true,
		Divided:    true,
		Difference: true,
		losses: func(f formula, in inputs) *onnx.Value {
			right, wrong := labels(f, in)
			lost := f.sub(f.Scalar(f.t, 1), in.wins)
			return crossEntropy(f, in.rewards, f.add(f.mul(in.wins, right), f.mul(lost, wrong)))
		},
	})
}

// labels gives the shares of right and wrong labels, 1 − ε and ε, each [1].
func labels(f formula, in inputs) (right, wrong *onnx.Value) {
	wrong = f.Op("Reshape", []*onnx.Value{in.scalars["label_smoothing"], f.Ints(1)}, nil)
	return f.sub(f.Scalar(f.t, 1), wrong), wrong
}

// logistic is −(1 − ε)·log σ(x) − ε·log σ(−x), [G].
func logistic(f formula, in inputs, x *onnx.Value) *onnx.Value {
	right, wrong := labels(f, in)
	return f.neg(f.add(f.mul(right, f.logSigmoid(x)), f.mul(wrong, f.logSigmoid(f.neg(x)))))
}

// crossEntropy is −t₁·log σ(r₁ − r₂) − t₂·log σ(r₂ − r₁) of each group, [G]; the target t is [G,2], or [2] for all.
//
// A softmax over two rewards is the sigmoid of their difference, so both logarithms come from one LogSoftmax, which
// subtracts the larger reward first: nothing overflows, and the derivative at r₁ = r₂, where training begins, is exact.
func crossEntropy(f formula, rewards, target *onnx.Value) *onnx.Value {
	logs := f.Op("LogSoftmax", []*onnx.Value{rewards}, onnx.Attrs{"axis": 1})
	return f.neg(f.sum(f.mul(logs, target)))
}
