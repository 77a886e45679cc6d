package loss

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// The negative log-likelihood of the chosen answers, as a term beside others, each averaged over its own tokens: the second term of RPO,
// Pang et al. 2024, arXiv 2404.19733, Equation 1,
//
//	−log π(y₁|x)/|y₁|
//
// What TRL calls sft is a mean over the tokens of all, in which long answers weigh more.
func init() {
	register(Loss{
		Name:   "sft_mean",
		Says:   "-log pi of the chosen answers, each averaged over its own tokens, as RPO's paper has it: sigmoid=1,sft_mean=1",
		Paper:  "Pang et al. 2024, arXiv 2404.19733, Equation 1",
		Pairs:  true,
		Free:   true,
		losses: func(f formula, in inputs) *onnx.Value { return f.neg(f.chosen(f.div(in.policy, in.lengths))) },
	})
}
