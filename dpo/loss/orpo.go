package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Odds ratio preference optimization, Hong et al. 2024, arXiv 2403.07691, Equations 4 to 7, without a reference, on log-probs averaged over
// tokens, β being its λ:
//
//	−log π(y₁|x)/T − β·log σ(log odds₁ − log odds₂),   log odds = log p − log(1 − p), log p = log π(y|x)/|y|
//
// T is the mean number of scored tokens of the step's chosen answers, so that the first term is a mean over tokens. It counts answers
// alone, as the paper has it; TRL counts the prompt's tokens, too.
func init() {
	register(Loss{
		Name:     "orpo",
		Says:     "sft - beta·log sigmoid(log odds chosen - log odds rejected), odds = p/(1 - p), log p = log pi/|y|; no reference",
		Paper:    "Hong et al. 2024, arXiv 2403.07691, Equations 4 to 7",
		Settings: []settings.Setting{beta},
		Pairs:    true,
		Free:     true,
		Averaged: true,
		losses: func(f formula, in inputs) *onnx.Value {
			ratio := f.logSigmoid(f.lead(logOdds(f, in.ratios)))
			return f.sub(likelihood(f, in), f.mul(in.scalars["beta"], ratio))
		},
	})
}

// certain is the log of the largest probability whose odds are told from infinite ones.
const certain = -1e-12

// logOdds is a − log(1 − exp a), with 1 − exp a = tanh(−a/2)·(1 + exp a), which keeps its digits where exp a is nearly 1.
func logOdds(f formula, a *onnx.Value) *onnx.Value {
	a = f.Op("Min", []*onnx.Value{a, f.Scalar(f.t, certain)}, nil)
	half := f.Op("Tanh", []*onnx.Value{f.mul(a, f.Scalar(f.t, -0.5))}, nil)
	return f.sub(a, f.add(f.log(half), f.log(f.add(f.Scalar(f.t, 1), f.exp(a)))))
}
