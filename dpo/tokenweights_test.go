package dpo

import (
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// tokenLoss is a loss by the log-probs of single tokens [G][2][tokens]: see scripts/golden/make_steplosses.py.
type tokenLoss struct {
	Beta                       float64
	LDAlpha                    *float64 `json:"ld_alpha"`
	UseWeighting               bool     `json:"use_weighting"`
	Policy, Reference, Squares [][][]float64
	Loss                       float64
	Dtokens                    [][][]float64
}

// tokensOf lists a value of each token in the order of a batch.
func tokensOf(groups [][][]float64) (out []float64) {
	for _, answers := range groups {
		out = append(out, flat(answers)...)
	}
	return out
}

// The weights of tokens beyond the shorter answer (ld-alpha) and of pairs by the policy's trust in them (use-weighting) are TRL's own, in the
// loss and in its gradient by each token, to 1e-10 relative in float64: of answers of one token, of one length, and of log-probs to −1e4.
func TestTokenWeightsEqualTRL(t *testing.T) {
	var cases []tokenLoss
	golden.JSON(t, golden.Testdata(t, "golden", "steplosses.tokens.json"), &cases)
	g, err := lossWithGradient(named(t, "sigmoid"), onnx.Float64)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		if d := c.apart(t, g); !(d <= 1) {
			t.Errorf("case %d: apart by %.2g of the bar", i, d)
		}
	}
}

// apart is how far a case's loss and gradient are from TRL's, in units of the bar.
func (c tokenLoss) apart(t *testing.T, g *onnx.Graph) float64 {
	t.Helper()
	var groups []datasets.Example
	for _, answers := range c.Policy {
		x := datasets.Example{Prompt: []int32{1}}
		for _, tokens := range answers {
			x.Completions = append(x.Completions, datasets.Completion{IDs: make([]int32, len(tokens))})
		}
		groups = append(groups, x)
	}
	policy, reference := tokensOf(c.Policy), tokensOf(c.Reference)
	alpha := 1.0
	if c.LDAlpha != nil {
		alpha = *c.LDAlpha
	}
	weights, trust := tailWeights(groups, alpha), measured{}
	if c.UseWeighting {
		trust.trust = trustOf(groups, &engine.Pass{TokenLogProbs: policy, TokenLogSquares: tokensOf(c.Squares)})
	}
	in, owner := map[string][]float64{"beta": {c.Beta}, "label_smoothing": {0}}, []int{}
	for i, x := range groups {
		in["weight"] = append(in["weight"], trust.share(i)/float64(len(groups)))
		in["wins"] = append(in["wins"], 1, 0)
		for k := range x.Completions {
			p, r := 0.0, 0.0
			for range scored(x, k) {
				at := len(owner)
				p, r = p+weights[at]*policy[at], r+weights[at]*reference[at]
				owner = append(owner, 2*i+k)
			}
			in["policy_logps"], in["reference_logps"] = append(in["policy_logps"], p), append(in["reference_logps"], r)
		}
	}
	out := run(t, g, map[string]int64{"G": int64(len(groups)), "K": 2, "Q": 1}, in)
	got := out["loss"]
	for at, n := range owner {
		got = append(got, weights[at]*out["dlogps"][n])
	}
	return lossBar{1e-10, 1e-22}.apart(got, append([]float64{c.Loss}, tokensOf(c.Dtokens)...))
}
