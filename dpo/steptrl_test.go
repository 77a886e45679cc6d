package dpo

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// stepTRLRun is what TRL logged of a run: see scripts/golden/make_steptrl.py.
type stepTRLRun struct {
	Settings struct {
		Rows, Batch       int
		Beta, LR          float64
		LossType          string   `json:"loss_type"`
		LabelSmoothing    float64  `json:"label_smoothing"`
		MaxGradNorm       float64  `json:"max_grad_norm"`
		DesirableWeight   *float64 `json:"desirable_weight"`
		UndesirableWeight *float64 `json:"undesirable_weight"`
		LDAlpha           *float64 `json:"ld_alpha"`
		UseWeighting      bool     `json:"use_weighting"`
		Singles           bool     // its rows are single answers
		SyncRefModel      bool     `json:"sync_ref_model"`
		Mixup             float64  `json:"ref_model_mixup_alpha"`
		SyncSteps         int      `json:"ref_model_sync_steps"`
	}
	Steps []map[string]float64
}

// takenInTurn writes rows of single answers as make_steptrl.py has them.
func takenInTurn(t *testing.T, pairs string) string {
	t.Helper()
	text, err := os.ReadFile(pairs)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var row struct{ Prompt, Chosen, Rejected string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		answer := row.Chosen
		if i%2 == 1 {
			answer = row.Rejected
		}
		line, err := json.Marshal(map[string]any{"prompt": row.Prompt, "completion": answer, "label": i%2 == 0})
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, line...), '\n')
	}
	return writeFile(t, "singles.jsonl", string(out))
}

func (r stepTRLRun) config(t *testing.T) Config {
	t.Helper()
	c, err := NewConfig("trl")
	if err != nil {
		t.Fatal(err)
	}
	s := r.Settings
	data := head(t, golden.Testdata(t, "pref", "tiny.pairs.jsonl"), s.Rows)
	if s.Singles {
		data = takenInTurn(t, data)
	}
	c.Model, c.Data, c.Out = golden.Testdata(t, "models", "tiny-llama"), []string{data}, filepath.Join(t.TempDir(), "out")
	c.LR, c.Beta, c.MaxGradNorm, c.Schedule, c.Batch, c.Steps, c.NoShuffle = s.LR, s.Beta, s.MaxGradNorm, "constant", s.Batch, len(r.Steps), true
	c.MaxLength, c.SaveEvery, c.Loss, c.LabelSmoothing = 512, 0, ourLoss(s.LossType), s.LabelSmoothing
	c.LDAlpha, c.UseWeighting, c.SyncRefModel, c.RefModelMixupAlpha, c.RefModelSyncSteps = s.LDAlpha, s.UseWeighting, s.SyncRefModel, s.Mixup, s.SyncSteps
	if s.DesirableWeight != nil {
		c.LossSettings = given(map[string]float64{"desirable_weight": *s.DesirableWeight, "undesirable_weight": *s.UndesirableWeight})
	}
	return c
}

// Ten steps with what looks at whole steps stay with TRL's: the loss within 1e-4 relative, the gradient's norm within 1e-2
// relative, and rewards within 1e-3, in as many micro-batches as it pleases.
func TestStepsFollowTRL(t *testing.T) {
	runs, err := filepath.Glob(filepath.Join(golden.Testdata(t, "golden", "trl", "steps"), "*.json"))
	if err != nil || len(runs) < 9 {
		t.Fatalf("%d runs of TRL's, at least 9 are wanted (%v)", len(runs), err)
	}
	for _, path := range runs {
		for _, micro := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s/%d", strings.TrimSuffix(filepath.Base(path), ".json"), micro), func(t *testing.T) {
				var run stepTRLRun
				golden.JSON(t, path, &run)
				c := run.config(t)
				c.MicroBatch = micro
				run.follow(t, mustTrain(t, c))
			})
		}
	}
}

func (r stepTRLRun) follow(t *testing.T, got []Metrics) {
	t.Helper()
	far := map[string]float64{}
	for i, want := range r.Steps {
		text, err := json.Marshal(got[i])
		if err != nil {
			t.Fatal(err)
		}
		var ours map[string]any
		if err := json.Unmarshal(text, &ours); err != nil {
			t.Fatal(err)
		}
		for name, w := range want {
			g, ok := ours[name].(float64)
			if !ok {
				t.Errorf("step %d has no %s, TRL has %v", i+1, name, w)
			}
			d := math.Abs(g - w)
			switch {
			case name == "loss" || name == "grad_norm": // which WPO makes small
				d /= math.Abs(w)
			case strings.HasPrefix(name, "logps/") || name == "kl":
				d /= math.Max(1, math.Abs(w))
			}
			far[name] = math.Max(far[name], d)
		}
		for _, name := range []string{"rewards/chosen", "rewards/rejected", "rewards/margins", "kl"} {
			if _, there := want[name]; !there && ours[name] != nil {
				t.Errorf("step %d has %s %v, TRL has none", i+1, name, ours[name])
			}
		}
	}
	t.Logf("loss %.4f to %.4f; apart by at most %v", r.Steps[0]["loss"], r.Steps[len(r.Steps)-1]["loss"], far)
	bars := map[string]float64{"loss": 1e-4, "grad_norm": 1e-2, "rewards/accuracies": 0, "num_tokens": 0, "kl": 1e-3, "logps/chosen": 1e-4, "logps/rejected": 1e-4}
	for name, d := range far {
		bar, ok := bars[name]
		if !ok {
			bar = 1e-3
		}
		if !(d <= bar) {
			t.Errorf("%s is %.2e from TRL's, bar %.0e", name, d, bar)
		}
	}
}
