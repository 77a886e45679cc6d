package dpo

import (
	"cmp"
	"math"
	"path/filepath"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
)

// trlRun is what TRL logged of a run: see scripts/golden/make_trl.py.
type trlRun struct {
	Settings struct {
		Rows, Batch    int
		Beta, LR       float64
		Optimizer      string
		WeightDecay    float64 `json:"weight_decay"`
		Schedule       string
		Warmup         int
		LossType       string  `json:"loss_type"`
		LabelSmoothing float64 `json:"label_smoothing"`
		MaxGradNorm    float64 `json:"max_grad_norm"`
		MaxLength      int     `json:"max_length"`

		ScheduleSettings map[string]float64 `json:"schedule_settings"`

		Rank  int     // of a new adapter
		Alpha float64 // of the same
	}
	Steps []struct {
		Loss        float64
		GradNorm    float64 `json:"grad_norm"`
		Chosen      float64 `json:"rewards/chosen"`
		Rejected    float64 `json:"rewards/rejected"`
		Accuracies  float64 `json:"rewards/accuracies"`
		Margins     float64 `json:"rewards/margins"`
		ChosenLogps float64 `json:"logps/chosen"`
		NumTokens   float64 `json:"num_tokens"`
	}
}

// ourLoss is our name of a loss of TRL's.
func ourLoss(name string) string {
	return cmp.Or(map[string]string{"ipo": "ipo_mean", "bco_pair": "bco_pair_unshifted"}[name], name)
}

// Fifty steps with adamw and rmsprop, and ten with each other optimizer and loss, and of adapters, which are their own reference, stay with
// TRL's: the loss within 1e-4 everywhere and 1e-5 on average, both relative where it exceeds 1, and the gradient's norm within 1e-2 relative.
// New adapters are those that PEFT makes of the same draws.
func TestTrainFollowsTRL(t *testing.T) {
	names := []string{"tiny-llama-decay", "tiny-llama-hinge", "tiny-llama-ipo", "tiny-llama-robust"}
	for _, optimizer := range optim.Names() {
		names = append(names, "tiny-llama-"+optimizer)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			followTRL(t, golden.Testdata(t, "models", "tiny-llama"), golden.Testdata(t, "pref", "tiny.pairs.jsonl"), name)
		})
	}
	for name, adapter := range map[string]string{"tiny-llama-lora": "tiny-llama-sft", "tiny-qwen3-dora": "tiny-qwen3-sft-dora"} {
		t.Run(name, func(t *testing.T) {
			followTRL(t, golden.Testdata(t, "adapters", adapter), golden.Testdata(t, "pref", "tiny.pairs.jsonl"), name)
		})
	}
	for _, name := range []string{"stories260K-adamw", "stories260K-rmsprop"} {
		t.Run(name, func(t *testing.T) {
			followTRL(t, golden.Shared(t, "models/stories260K-hf"), golden.Shared(t, "pref/stories-sentiment-train.pairs.jsonl"), name)
		})
	}
	for name, targets := range map[string][]string{"stories260K-lora-qv": {"q_proj", "v_proj"}, "stories260K-lora": {models.AllLinear}} {
		t.Run(name, func(t *testing.T) {
			base, adapter, s := golden.Shared(t, "models/stories260K-hf"), filepath.Join(t.TempDir(), "adapter"), readTRLRun(t, name).Settings
			if err := models.WriteAdapter(adapter, base, models.AdapterSpec{Rank: s.Rank, Alpha: s.Alpha, Targets: targets}, 0); err != nil {
				t.Fatal(err)
			}
			followTRL(t, adapter, golden.Shared(t, "pref/stories-sentiment-train.pairs.jsonl"), name)
		})
	}
}

func readTRLRun(t *testing.T, name string) (run trlRun) {
	t.Helper()
	golden.JSON(t, golden.Testdata(t, "golden", "trl", name+".json"), &run)
	return run
}

func followTRL(t *testing.T, dir, pairs, name string) {
	t.Helper()
	run := readTRLRun(t, name)
	c, err := NewConfig("trl")
	if err != nil {
		t.Fatal(err)
	}
	s := run.Settings
	c.Model, c.Data, c.Out = dir, []string{head(t, pairs, s.Rows)}, filepath.Join(t.TempDir(), "out")
	c.Optimizer, c.LR, c.Beta, c.MaxGradNorm, c.Schedule = s.Optimizer, s.LR, s.Beta, s.MaxGradNorm, cmp.Or(s.Schedule, "constant")
	c.ScheduleSettings, c.WeightDecay, c.Warmup, c.WarmupRule = given(s.ScheduleSettings), s.WeightDecay, s.Warmup, "trl"
	c.Batch, c.Steps, c.NoShuffle, c.MaxLength, c.SaveEvery = s.Batch, len(run.Steps), true, s.MaxLength, 0
	c.Loss, c.LabelSmoothing = ourLoss(s.LossType), s.LabelSmoothing
	got := mustTrain(t, c)
	var worst, sum, norm, rewards, clipped float64
	for i, want := range run.Steps {
		d := math.Abs(got[i].Loss-want.Loss) / math.Max(1, want.Loss)
		worst, sum = math.Max(worst, d), sum+d
		norm = math.Max(norm, math.Abs(got[i].GradNorm/want.GradNorm-1))
		for _, d := range []float64{got[i].Chosen - want.Chosen, got[i].Rejected - want.Rejected, got[i].Margins - want.Margins} {
			rewards = math.Max(rewards, math.Abs(d))
		}
		if want.GradNorm > s.MaxGradNorm {
			clipped++
		}
		if !(math.Abs(got[i].ChosenLogps-want.ChosenLogps) <= 1e-2) || got[i].Accuracies != want.Accuracies || got[i].NumTokens != int64(want.NumTokens) {
			t.Errorf("step %d: logps %v, accuracy %v, %d tokens; TRL has %v, %v, %v", i+1, got[i].ChosenLogps, got[i].Accuracies, got[i].NumTokens,
				want.ChosenLogps, want.Accuracies, want.NumTokens)
		}
	}
	steps := float64(len(run.Steps))
	first, last := run.Steps[0].Loss, run.Steps[len(run.Steps)-1].Loss
	t.Logf("loss %.4f to %.4f, %.0f%% of steps clipped; loss apart by %.1e at most, %.1e on average; norm by %.1e; rewards by %.1e",
		first, last, 100*clipped/steps, worst, sum/steps, norm, rewards)
	if !(worst <= 1e-4 && sum/steps <= 1e-5 && norm <= 1e-2 && rewards <= 1e-3) {
		t.Errorf("loss apart by %.2e at most (bar 1e-4), %.2e on average (1e-5); norm by %.2e (1e-2); rewards by %.2e (1e-3)", worst, sum/steps, norm, rewards)
	}
	if last > 0.8*first || clipped < 0.1*steps {
		t.Errorf("TRL's run does not move enough to tell: loss %v to %v, %v steps clipped", first, last, clipped)
	}
}
