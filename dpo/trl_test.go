package dpo

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// trlRun is what TRL logged of a run: see scripts/golden/make_trl.py.
type trlRun struct {
	Settings struct {
		Rows, Batch int
		Beta, LR    float64
		MaxGradNorm float64 `json:"max_grad_norm"`
		MaxLength   int     `json:"max_length"`
	}
	Steps []struct {
		Loss        float64
		GradNorm    float64 `json:"grad_norm"`
		Chosen      float64 `json:"rewards/chosen"`
		Accuracies  float64 `json:"rewards/accuracies"`
		Margins     float64 `json:"rewards/margins"`
		ChosenLogps float64 `json:"logps/chosen"`
		NumTokens   float64 `json:"num_tokens"`
	}
}

// Fifty steps stay with TRL's: the loss within 1e-4 everywhere and 1e-5 on average, the gradient's norm within 1e-2 relative.
func TestTrainFollowsTRL(t *testing.T) {
	for _, model := range []string{"tiny-llama", "stories260K"} {
		for _, optimizer := range []string{"adamw", "rmsprop"} {
			t.Run(model+"/"+optimizer, func(t *testing.T) {
				file := filepath.Join("trl", model+"-"+optimizer+".json")
				if model == "tiny-llama" {
					followTRL(t, golden.Testdata(t, "models", model), golden.Testdata(t, "pref", "tiny.pairs.jsonl"), file, optimizer)
				} else {
					followTRL(t, golden.Shared(t, "models/stories260K-hf"), golden.Shared(t, "pref/stories-sentiment-train.pairs.jsonl"), file, optimizer)
				}
			})
		}
	}
}

func followTRL(t *testing.T, dir, pairs, file, optimizer string) {
	t.Helper()
	var run trlRun
	golden.JSON(t, golden.Testdata(t, "golden", file), &run)
	c, err := NewConfig("trl")
	if err != nil {
		t.Fatal(err)
	}
	s := run.Settings
	c.Model, c.Data, c.Out = dir, []string{head(t, pairs, s.Rows)}, filepath.Join(t.TempDir(), "out")
	c.Optimizer, c.LR, c.Beta, c.MaxGradNorm, c.Schedule = optimizer, s.LR, s.Beta, s.MaxGradNorm, "constant"
	c.Batch, c.Steps, c.NoShuffle, c.MaxLength, c.SaveEvery = s.Batch, len(run.Steps), true, s.MaxLength, 0
	got := mustTrain(t, c)
	var worst, sum, norm, clipped float64
	for i, want := range run.Steps {
		d := math.Abs(got[i].Loss - want.Loss)
		worst, sum = math.Max(worst, d), sum+d
		norm = math.Max(norm, math.Abs(got[i].GradNorm/want.GradNorm-1))
		if want.GradNorm > s.MaxGradNorm {
			clipped++
		}
		if math.Abs(got[i].ChosenLogps-want.ChosenLogps) > 1e-2 || math.Abs(got[i].Margins-want.Margins) > 1e-2 || got[i].NumTokens != int64(want.NumTokens) {
			t.Errorf("step %d: logps %v, margin %v, %d tokens; TRL has %v, %v, %v", i+1, got[i].ChosenLogps, got[i].Margins, got[i].NumTokens,
				want.ChosenLogps, want.Margins, want.NumTokens)
		}
	}
	steps := float64(len(run.Steps))
	last := run.Steps[len(run.Steps)-1].Loss
	t.Logf("loss to %.4f, %.0f%% of steps clipped; loss apart by %.1e at most, %.1e on average; norm by %.1e", last, 100*clipped/steps, worst, sum/steps, norm)
	if worst > 1e-4 || sum/steps > 1e-5 || norm > 1e-2 {
		t.Errorf("loss apart by %.2e at most (bar 1e-4), %.2e on average (1e-5); norm by %.2e (1e-2)", worst, sum/steps, norm)
	}
	if last > 0.55 || clipped < 0.1*steps {
		t.Errorf("TRL's run does not move enough to tell: loss %v, %v steps clipped", last, clipped)
	}
}
