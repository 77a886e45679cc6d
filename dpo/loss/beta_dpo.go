package loss

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// β-DPO, Wu et al. 2024, arXiv 2407.08639, Section 4: DPO whose β follows how informative the pairs of a step are, by their mean
// margin M over the moving average M₀ of those of all steps so far, this one among them:
//
//	−log σ(β′ h),   β′ = β (1 + α (M − M₀)),   M = mean of h,   M₀ ← m M₀ + (1 − m) M
//
// As in the authors' code margins are h itself, in nats, M₀ begins at 0, and β′ is 1e-3 at least. Their filter, which draws the pairs that
// count, is not part of it. No gradient flows through β′, and rewards are by β.
func init() {
	register(Loss{
		Name:  "beta_dpo",
		Says:  "-log sigmoid(beta'·h), beta' = beta·(1 + alpha·(M - M0)), M the step's mean h and M0 its moving average",
		Paper: "Wu et al. 2024, arXiv 2407.08639, without the filter",
		Settings: []settings.Setting{beta, {Name: "alpha", Default: "0.6", Range: settings.AtLeast(0), About: "how far beta follows the margins"},
			{Name: "momentum", Default: "0.9", Range: settings.AtLeast(0).Below(1), About: "share of the average so far in the next"}},
		Scope: Step,
		State: []string{"margin"},
		Pairs: true,
		losses: func(f formula, in inputs) *onnx.Value {
			h := f.lead(in.ratios)
			now, m := f.still(f.mean(h)), in.scalars["momentum"]
			average := f.add(f.mul(m, in.state["margin"]), f.mul(f.sub(f.Scalar(f.t, 1), m), now))
			in.next["margin"] = average
			factor := f.add(f.Scalar(f.t, 1), f.mul(in.scalars["alpha"], f.sub(now, average)))
			dynamic := f.Op("Max", []*onnx.Value{f.mul(in.scalars["beta"], factor), f.Scalar(f.t, leastBeta)}, nil)
			return f.neg(f.logSigmoid(f.mul(dynamic, h)))
		},
	})
}

// leastBeta bounds β′ where the margins of a step fall far under the average.
const leastBeta = 1e-3
