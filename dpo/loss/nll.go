package loss

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// The negative log-likelihood of a group's completions, −Σ log π(y|x). With a weight of 1 over the scored tokens of a whole step it is the
// mean over tokens, the loss of supervised fine-tuning; on chosen answers, Preferred-FT of arXiv 2305.18290, Section 6.
func init() {
	register(Loss{
		Name:   "nll",
		Says:   "-log pi, averaged over the scored tokens of a step",
		Paper:  "Rafailov et al. 2023, arXiv 2305.18290, Section 6 (SFT and Preferred-FT)",
		Alone:  true,
		losses: func(f formula, in inputs) *onnx.Value { return f.neg(f.sum(in.policy)) },
	})
}
