package dpo

import (
	"bytes"
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// stepLossRun is a loss over some steps: see scripts/golden/make_steplosses.py.
type stepLossRun struct {
	Name  string
	Steps []struct {
		Settings          map[string]float64
		Beta              float64
		LabelSmoothing    float64 `json:"label_smoothing"`
		Policy, Reference [][]float64
		Label, Drift      []float64

		Loss    float64
		Dlogps  [][]float64
		Carried map[string]float64
	}
}

func stepLossRuns(t *testing.T) (runs []stepLossRun) {
	t.Helper()
	golden.JSON(t, golden.Testdata(t, "golden", "steplosses.json"), &runs)
	return runs
}

// Losses of whole steps and their gradients are TRL's own, or those of the formula, for any margins and with what they carry from step to
// step: within 1e-10 relative in float64 (of numbers under 1e-5, 1e-15), and 1e-6 in float32, relative or absolute.
func TestStepLossesEqualTRL(t *testing.T) {
	worst := map[string][2]float64{}
	for _, c := range stepLossRuns(t) {
		for i, dtype := range []onnx.DType{onnx.Float64, onnx.Float32} {
			of := worst[c.Name]
			of[i] = math.Max(of[i], c.compare(t, dtype))
			worst[c.Name] = of
		}
	}
	for name, of := range worst {
		t.Logf("%s: %.2g of the bar in float64, %.2g in float32", name, of[0], of[1])
		if !(of[0] <= 1 && of[1] <= 1) {
			t.Errorf("%s: apart by %.2g of the bar in float64, %.2g in float32", name, of[0], of[1])
		}
	}
	for _, name := range loss.Names() {
		if l := named(t, name); (l.Scope == loss.Step || l.State != nil) && worst[name] == [2]float64{} {
			t.Errorf("loss %s has no case in steplosses.json, or one that cannot fail", name)
		}
	}
}

// compare runs the steps and gives how far the numbers are apart, in units of the bar.
func (c stepLossRun) compare(t *testing.T, dtype onnx.DType) (worst float64) {
	t.Helper()
	l := named(t, c.Name)
	g, err := lossWithGradient(l, dtype)
	if err != nil {
		t.Fatal(err)
	}
	carried := map[string]float64{}
	for _, s := range c.Steps {
		values, err := l.Resolve(given(s.Settings))
		if err != nil {
			t.Fatal(err)
		}
		G, K := len(s.Policy), len(s.Policy[0])
		in := map[string][]float64{"beta": {s.Beta}, "label_smoothing": {s.LabelSmoothing}, "policy_logps": flat(s.Policy), "reference_logps": flat(s.Reference),
			"label": s.Label, "drift": s.Drift}
		for name, v := range values {
			in[name] = []float64{v}
		}
		for range G {
			in["weight"] = append(in["weight"], 1/float64(G))
		}
		for _, name := range l.State {
			in["state."+name] = []float64{carried[name]}
		}
		out := run(t, g, map[string]int64{"G": int64(G), "K": int64(K), "Q": 1}, in)
		got, want := append(out["loss"], out["dlogps"]...), append([]float64{s.Loss}, flat(s.Dlogps)...)
		for _, name := range l.State {
			carried[name] = out["next."+name][0]
			got, want = append(got, carried[name]), append(want, s.Carried[name])
		}
		worst = math.Max(worst, lossBars[dtype].apart(got, want))
	}
	return worst
}

// stepConfig trains tiny-llama with a loss, and measures it on five pairs each two steps.
func stepConfig(t *testing.T, name string) Config {
	c := tinyConfig(t)
	c.Loss, c.EvalData, c.EvalEvery = name, []string{writePairs(t, 5)}, 2
	return c
}

// stepLosses are those that look at a whole step.
func stepLosses(t *testing.T) (names []string) {
	for _, name := range loss.Names() {
		if named(t, name).Scope == loss.Step {
			names = append(names, name)
		}
	}
	return names
}

// A run of a loss of whole steps that is interrupted and resumed ends in the same bits as one that is not, with what the loss carries.
func TestStepLossesResumeToTheSameBits(t *testing.T) {
	for _, name := range stepLosses(t) {
		t.Run(name, func(t *testing.T) {
			through := stepConfig(t, name)
			want := mustTrain(t, through)
			c, got := stoppedAndResumed(t, through, 3)
			for i, m := range got {
				if w := want[3+i]; m.Loss != w.Loss || m.GradNorm != w.GradNorm || m.Margins != w.Margins {
					t.Errorf("step %d: loss %v, norm %v, margin %v; of the whole run %v, %v, %v", m.Step, m.Loss, m.GradNorm, m.Margins, w.Loss, w.GradNorm, w.Margins)
				}
			}
			if !bytes.Equal(readBytes(t, filepath.Join(through.Out, "model.safetensors")), readBytes(t, filepath.Join(c.Out, "model.safetensors"))) {
				t.Error("the model differs")
			}
		})
	}
}

// How a step is cut into micro-batches, and over how many lanes these are spread, changes its loss and gradient by rounding alone; that there
// is held-out data, and how often it is measured, changes no bit.
func TestStepLossesOfMicroBatches(t *testing.T) {
	for _, name := range stepLosses(t) {
		t.Run(name, func(t *testing.T) {
			whole := stepConfig(t, name)
			cut, unmeasured := whole, whole
			cut.MicroBatch, cut.Out = 1, filepath.Join(t.TempDir(), "out")
			unmeasured.EvalData, unmeasured.EvalEvery, unmeasured.Out = nil, 0, filepath.Join(t.TempDir(), "out")
			a, b, c := mustTrain(t, whole), mustTrain(t, cut), mustTrain(t, unmeasured)
			for i := range a {
				if math.Abs(a[i].Loss-b[i].Loss) > 1e-5*a[i].Loss || math.Abs(a[i].GradNorm-b[i].GradNorm) > 1e-4*a[i].GradNorm {
					t.Errorf("step %d: loss %v and %v, norm %v and %v", i+1, a[i].Loss, b[i].Loss, a[i].GradNorm, b[i].GradNorm)
				}
				if a[i].Loss != c[i].Loss || a[i].GradNorm != c[i].GradNorm {
					t.Errorf("step %d: loss %v, norm %v; without held-out data %v, %v", i+1, a[i].Loss, a[i].GradNorm, c[i].Loss, c[i].GradNorm)
				}
			}
		})
	}
}

// Runs of single answers that do not move are told so, by a loss that has its drift then, too.
func TestStepLossesThatStandStill(t *testing.T) {
	for _, name := range []string{"kto", "aot"} {
		c := stepConfig(t, name)
		c.LR = 1e-12
		trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		for e, err := range trainer.Run(context.Background()) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if e.Warning != nil {
				said += e.Warning.String()
			}
		}
		if want := map[string]string{"kto": "at margin 0 it is 0.5000", "aot": "at margin 0 it is 0.6931"}[name]; !strings.Contains(said, want) {
			t.Errorf("%s: warnings %q, want %q among them", name, said, want)
		}
		trainer.Close()
	}
}

// looksAgain are settings under which a run looks at its data or its reference once more.
var looksAgain = map[string]func(*Config){
	"ld":                  func(c *Config) { alpha := 0.3; c.LDAlpha = &alpha },
	"wpo":                 func(c *Config) { c.UseWeighting = true },
	"tr-soft":             func(c *Config) { c.SyncRefModel, c.RefModelMixupAlpha, c.RefModelSyncSteps = true, 0.4, 2 },
	"tr-hard":             func(c *Config) { c.SyncRefModel, c.RefModelMixupAlpha, c.RefModelSyncSteps = true, 1, 2 },
	"tr-aot":              func(c *Config) { c.Loss, c.SyncRefModel, c.RefModelSyncSteps = "aot", true, 2 },
	"mpo":                 func(c *Config) { c.Loss = "sigmoid=0.8,bco_pair=0.2,sft=1" },
	"tr-rows that stream": func(c *Config) { c.NoShuffle, c.SyncRefModel, c.RefModelSyncSteps = true, true, 2 },
	"tr-kto":              func(c *Config) { c.Loss, c.SyncRefModel, c.RefModelSyncSteps = "kto", true, 2 },
}

// Runs under each resume to the same bits, measure held-out data without a trace, and are the same in micro-batches but for rounding.
func TestLooksAgain(t *testing.T) {
	for name, set := range looksAgain {
		t.Run(name, func(t *testing.T) {
			through := stepConfig(t, "sigmoid")
			set(&through)
			cut := through
			cut.MicroBatch, cut.EvalData, cut.EvalEvery, cut.Out = 1, nil, 0, filepath.Join(t.TempDir(), "out")
			want, micro := mustTrain(t, through), mustTrain(t, cut)
			c, got := stoppedAndResumed(t, through, 3)
			for i, m := range got {
				if w := want[3+i]; m.Loss != w.Loss || m.GradNorm != w.GradNorm || m.Margins != w.Margins {
					t.Errorf("step %d: loss %v, norm %v, margin %v; of the whole run %v, %v, %v", m.Step, m.Loss, m.GradNorm, m.Margins, w.Loss, w.GradNorm, w.Margins)
				}
			}
			if !bytes.Equal(readBytes(t, filepath.Join(through.Out, "model.safetensors")), readBytes(t, filepath.Join(c.Out, "model.safetensors"))) {
				t.Error("the model differs")
			}
			for i, m := range micro {
				if math.Abs(m.Loss-want[i].Loss) > 1e-5*want[i].Loss || math.Abs(m.GradNorm-want[i].GradNorm) > 1e-4*want[i].GradNorm {
					t.Errorf("step %d: loss %v, norm %v; in micro-batches %v, %v", i+1, want[i].Loss, want[i].GradNorm, m.Loss, m.GradNorm)
				}
			}
		})
	}
}

// However many lanes the micro-batches of a step are spread over, the bits are the same.
func TestStepLossesInLanes(t *testing.T) {
	for _, name := range []string{"aot", "kto"} {
		var want []Metrics
		for _, threads := range []int{1, 3} {
			c := stepConfig(t, name)
			c.MicroBatch, c.Threads, c.Steps = 1, threads, 3
			got := mustTrain(t, c)
			if want == nil {
				want = got
			}
			for i, m := range got {
				if w := want[i]; m.Loss != w.Loss || m.GradNorm != w.GradNorm {
					t.Errorf("%s with %d threads, step %d: loss %v, norm %v; with one %v, %v", name, threads, i+1, m.Loss, m.GradNorm, w.Loss, w.GradNorm)
				}
			}
		}
	}
}
