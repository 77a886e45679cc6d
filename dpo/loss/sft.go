package loss

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// The negative log-likelihood of the chosen answers, as a term beside others: TRL's loss_type "sft", and the second term of RPO there,
//
//	−log π(y₁|x)/T
//
// T being the mean number of scored tokens of the step's chosen answers, so that the mean over the step's groups is a mean over tokens.
func init() {
	register(Loss{
		Name:   "sft",
		Says:   "-log pi of the chosen answers, a mean over the tokens of the step, as TRL has it",
		Paper:  "TRL's sft; with sigmoid and bco_pair, MPO: Wang et al. 2024, arXiv 2411.10442",
		Pairs:  true,
		Free:   true,
		losses: likelihood,
	})
}

// likelihood is −log π(y₁|x)/T of each pair, [G].
func likelihood(f formula, in inputs) *onnx.Value {
	return f.neg(f.div(f.chosen(in.policy), in.meanTokens))
}
