package dpo

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// trlLosses are what TRL's trainers logged with each loss: see scripts/golden/make_trl_losses.py.
type trlLosses struct {
	Rows, Batch int
	MaxGradNorm float64 `json:"max_grad_norm"`
	MaxLength   int     `json:"max_length"`
	Runs        []struct {
		Loss, Divergence string
		Beta, LR         float64
		LabelSmoothing   float64 `json:"label_smoothing"`
		Settings         map[string]float64
		Steps            [][]float64 // loss, norm, chosen, rejected, margin
	}
}

// Ten steps by each loss that TRL has stay with TRL's trainers: the loss within 1e-4 (relative where it exceeds 1), the gradient's norm within
// 1e-3 relative, rewards within 1e-3.
func TestLossesFollowTRL(t *testing.T) {
	var all trlLosses
	golden.JSON(t, golden.Testdata(t, "golden", "trl", "losses.json"), &all)
	data := head(t, golden.Testdata(t, "pref", "tiny.pairs.jsonl"), all.Rows)
	for _, r := range all.Runs {
		t.Run(r.Loss+" "+r.Divergence, func(t *testing.T) {
			c, err := NewConfig("trl")
			if err != nil {
				t.Fatal(err)
			}
			c.Model, c.Data, c.Out = golden.Testdata(t, "models", "tiny-llama"), []string{data}, filepath.Join(t.TempDir(), "out")
			c.LR, c.Beta, c.MaxGradNorm, c.Schedule, c.Batch, c.Steps = r.LR, r.Beta, all.MaxGradNorm, "constant", all.Batch, len(r.Steps)
			c.NoShuffle, c.MaxLength, c.SaveEvery = true, all.MaxLength, 0
			c.Loss, c.FDivergence, c.LabelSmoothing, c.LossSettings = r.Loss, r.Divergence, r.LabelSmoothing, given(r.Settings)
			got := mustTrain(t, c)
			free := named(t, r.Loss).Free
			var worst, norm, rewards float64
			for i, want := range r.Steps {
				m := got[i]
				worst = math.Max(worst, math.Abs(m.Loss-want[0])/math.Max(1, want[0]))
				norm = math.Max(norm, math.Abs(m.GradNorm/want[1]-1))
				for k, d := range []float64{m.Chosen - want[2], m.Rejected - want[3], m.Margins - want[4]} {
					if r.Loss != "sft" { // whose rewards are the policy's own here, and TRL's relative to a reference
						rewards = math.Max(rewards, math.Abs(d)/math.Max(1, math.Abs(want[2+k])))
					}
				}
			}
			first, last := r.Steps[0][0], r.Steps[len(r.Steps)-1][0]
			t.Logf("loss %.4f to %.4f; apart by %.1e at most, the norm by %.1e, rewards by %.1e; without a reference: %t", first, last, worst, norm, rewards, free)
			if !(worst <= 1e-4 && norm <= 1e-3 && rewards <= 1e-3) || last > 0.95*first {
				t.Errorf("loss apart by %.2e at most (bar 1e-4), norm by %.2e (1e-3), rewards by %.2e (1e-3); TRL's loss %v to %v", worst, norm, rewards, first, last)
			}
		})
	}
}
