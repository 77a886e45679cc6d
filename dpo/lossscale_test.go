package dpo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// The scale goes as PyTorch's GradScaler has it go.
func TestLossScaleEqualsGradScaler(t *testing.T) {
	var cases map[string]struct {
		Start   float64
		Runs    [][2]any
		Changes [][2]float64
		Skipped int
	}
	text, err := os.ReadFile(golden.Testdata(t, "golden", "lossscale.json"))
	if err == nil {
		err = json.Unmarshal(text, &cases)
	}
	if err != nil {
		t.Fatal(err)
	}
	if cases["defaults"].Start != firstScale {
		t.Errorf("PyTorch begins with %v", cases["defaults"].Start)
	}
	for name, c := range cases {
		s, step := lossScale{Value: c.Start}, 0
		var changes [][2]float64
		for _, run := range c.Runs {
			for range int(run[1].(float64)) {
				step++
				before := s.Value
				next := s.skipped()
				if run[0].(bool) {
					next = s.passed()
				}
				if next == nil {
					t.Fatalf("%s: step %d ends the run", name, step)
				}
				s = *next
				if s.Value != before {
					changes = append(changes, [2]float64{float64(step), s.Value})
				}
				if err := s.check(step); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if !slices.Equal(changes, c.Changes) || s.Skipped != c.Skipped {
			t.Errorf("%s: %v and %d skipped, by PyTorch %v and %d", name, changes, s.Skipped, c.Changes, c.Skipped)
		}
	}
}

// scaledRun trains from a scale, and looks at what is there after each step.
func scaledRun(t *testing.T, c Config, from lossScale, look func(*Trainer, Metrics)) (steps []Metrics, _ error) {
	t.Helper()
	trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	trainer.state.Scale = &from
	for e, err := range trainer.Run(context.Background()) {
		if err != nil {
			return steps, err
		}
		if e.Metrics != nil {
			if steps = append(steps, *e.Metrics); look != nil {
				look(trainer, *e.Metrics)
			}
		}
	}
	return steps, nil
}

// tensorsOf copies the weights and the optimizer's states.
func tensorsOf(t *testing.T, trainer *Trainer) []byte {
	t.Helper()
	var all []byte
	of := trainer.policy.weights
	for _, name := range of.Names {
		data, _, err := of.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	for _, state := range []string{"m", "v"} {
		w := trainer.optimizer.States[state]
		for _, name := range w.Names {
			data, _, err := w.Bytes(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, data...)
		}
	}
	return all
}

// overflowing is a scale at which gradients of the tiny model overflow float16, and do not after some halvings.
const overflowing = 1 << 30

// A step whose gradient overflows moves nothing and halves the scale; the first update after such steps is as if they had not been, but at
// its own rate and on its own rows.
func TestOverflowSkipsTheStep(t *testing.T) {
	c := half(t)
	c.Steps, c.Schedule, c.LR = 24, "linear", 1e-3
	trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err != nil {
		t.Fatal(err)
	}
	before := tensorsOf(t, trainer)
	if err := trainer.Close(); err != nil {
		t.Fatal(err)
	}
	c.Out = filepath.Join(t.TempDir(), "out")
	scale, skipped := float64(overflowing), 0
	var kept *lossScale // as a checkpoint that is still being written holds it
	var was lossScale
	steps, err := scaledRun(t, c, lossScale{Value: overflowing}, func(trainer *Trainer, m Metrics) {
		after := tensorsOf(t, trainer)
		if m.LossScale != scale {
			t.Errorf("step %d: scale %v, want %v", m.Step, m.LossScale, scale)
		}
		if m.Overflowed {
			scale /= 2
			skipped++
		}
		if m.SkippedSteps != skipped || m.Overflowed != bytes.Equal(before, after) || trainer.updatesDone() != m.Step-skipped {
			t.Errorf("step %d: overflowed %v, %d skipped (want %d), moved %v, %d updates", m.Step, m.Overflowed, m.SkippedSteps, skipped, !bytes.Equal(before, after), trainer.updatesDone())
		}
		if kept != nil && *kept != was {
			t.Errorf("step %d changed the scale of the state before it", m.Step)
		}
		before, kept, was = after, trainer.state.Scale, *trainer.state.Scale
	})
	if err != nil {
		t.Fatal(err)
	}
	if !steps[0].Overflowed || steps[len(steps)-1].Overflowed || skipped < 3 || skipped > 20 {
		t.Errorf("%d of %d steps were skipped", skipped, len(steps))
	}
	for i, m := range steps {
		if want := c.LR * (1 - float64(i)/24); math.Abs(m.LearningRate/want-1) > 1e-9 {
			t.Errorf("the rate of step %d is %v, want %v", i+1, m.LearningRate, want)
		}
	}
	text, err := os.ReadFile(filepath.Join(c.Out, "run", metricsName))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if strings.Contains(lines[0], `"grad_norm"`) || !strings.Contains(lines[0], `"loss_scale":1073741824`) || !strings.Contains(lines[0], `"skipped_steps":1`) ||
		!strings.Contains(lines[23], `"grad_norm"`) {
		t.Errorf("metrics %s\n%s", lines[0], lines[23])
	}
	if m, _ := measuredIn([]byte(lines[0])); m == nil || m.Scaling == nil || *m.Scaling != *steps[0].Scaling {
		t.Errorf("a resume reads %+v of %s", m, lines[0])
	}
	t.Logf("%d steps skipped, scale %v at last", skipped, scale)
}

// The updates after skipped steps are those of a run that had none: the count of updates, and with it what corrects the first of them, leaves
// skipped steps out.
func TestSkippedStepsAreNoUpdates(t *testing.T) {
	c := half(t)
	c.Steps, c.NoShuffle, c.Batch = 12, true, 24 // each step has the same rows
	plain, err := scaledRun(t, c, lossScale{Value: firstScale}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Out = filepath.Join(t.TempDir(), "out")
	steps, err := scaledRun(t, c, lossScale{Value: 1 << 28}, nil)
	if err != nil {
		t.Fatal(err)
	}
	skipped := steps[len(steps)-1].SkippedSteps
	if skipped == 0 || skipped > 10 {
		t.Fatalf("%d steps were skipped", skipped)
	}
	for i, m := range steps[skipped:] {
		if math.Abs(m.Loss-plain[i].Loss) > 1e-3 {
			t.Errorf("update %d after %d skipped steps: loss %v, without them %v", i, skipped, m.Loss, plain[i].Loss)
		}
	}
}

// After so many steps in a row without overflow the scale doubles, once.
func TestLossScaleGrows(t *testing.T) {
	c := half(t)
	c.Steps = 4
	steps, err := scaledRun(t, c, lossScale{Value: 256, Good: growSteps - 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{256, 256, 512, 512} {
		if steps[i].LossScale != want {
			t.Errorf("step %d: scale %v, want %v", i+1, steps[i].LossScale, want)
		}
	}
}

// A run that is stopped amid skipped steps, or before the scale doubles, ends in the bits of one that is not.
func TestLossScaleSurvivesAResume(t *testing.T) {
	for name, from := range map[string]lossScale{"overflowing": {Value: overflowing}, "growing": {Value: 256, Good: growSteps - 4}} {
		t.Run(name, func(t *testing.T) {
			through := half(t)
			through.Steps = 16
			want, err := scaledRun(t, through, from, nil)
			if err != nil {
				t.Fatal(err)
			}
			c := through
			c.Out = filepath.Join(t.TempDir(), "out")
			trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
			if err != nil {
				t.Fatal(err)
			}
			trainer.state.Scale = &from
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for e, err := range trainer.Run(ctx) {
				if e.Metrics != nil && e.Metrics.Step == 3 {
					cancel()
				}
				if err != nil && !errors.Is(err, ErrInterrupted) {
					t.Fatal(err)
				}
			}
			if err := trainer.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := train(t, c, true, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 13 {
				t.Fatalf("it went on with %d steps", len(got))
			}
			for i, m := range got {
				if w := want[3+i]; *m.Scaling != *w.Scaling || m.Loss != w.Loss || m.GradNorm != w.GradNorm {
					t.Errorf("step %d: %+v and loss %v, without the stop %+v and %v", m.Step, *m.Scaling, m.Loss, *w.Scaling, w.Loss)
				}
			}
			for _, file := range []string{"model.safetensors", "run/checkpoints/step-000016/optimizer.safetensors"} {
				a, err1 := os.ReadFile(filepath.Join(through.Out, file))
				b, err2 := os.ReadFile(filepath.Join(c.Out, file))
				if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
					t.Errorf("%s differs (%v, %v)", file, err1, err2)
				}
			}
		})
	}
}

// A gradient that is never finite ends the run at the least scale, with the rows' names and the state before it; with a scale that is a number at once.
func TestOverflowAtTheLeastScale(t *testing.T) {
	c := half(t)
	c.LossSettings, c.Beta = nil, 1e9 // the loss's slope is of that size
	steps, err := scaledRun(t, c, lossScale{Value: 4}, nil)
	var diverged *DivergedError
	if !errors.As(err, &diverged) || diverged.Step != 3 || len(diverged.Rows) != c.Batch || !strings.Contains(err.Error(), "at a loss scale of 1, in ") || len(steps) != 2 {
		t.Errorf("after %d steps: %v", len(steps), err)
	}
	c.LossScale, c.Out = "4", filepath.Join(t.TempDir(), "out")
	if _, err := train(t, c, false, nil); !errors.As(err, &diverged) || diverged.Step != 1 || !strings.Contains(err.Error(), "at a loss scale of 4, in ") {
		t.Errorf("with a number: %v", err)
	}
}

// A scale that is a number stays, and gradients may be released with it, to the same bits; where steps may be skipped they are not.
func TestFixedLossScale(t *testing.T) {
	c := half(t)
	c.Steps, c.MaxGradNorm, c.LossScale = 3, 0, "1024"
	var models [][]byte
	for _, p := range []MemoryPlan{{MicroTokens: 4096}, {MicroTokens: 4096, Release: true}} {
		c.Out, c.Planned = filepath.Join(t.TempDir(), "out"), &p
		for _, m := range mustTrain(t, c) {
			if m.LossScale != 1024 || m.SkippedSteps != 0 || m.GradNorm > 100 {
				t.Errorf("step %d: %+v, norm %v", m.Step, *m.Scaling, m.GradNorm)
			}
		}
		models = append(models, readBytes(t, filepath.Join(c.Out, "model.safetensors")))
	}
	if !bytes.Equal(models[0], models[1]) {
		t.Error("released gradients give another model")
	}
	c.Planned, c.Out = nil, filepath.Join(t.TempDir(), "out")
	steps, err := scaledRun(t, c, lossScale{Value: 1024, Good: growSteps - 1}, nil)
	if err != nil || steps[2].LossScale != 1024 {
		t.Errorf("the scale of the last step is %v (%v)", steps[2].LossScale, err)
	}
	for scale, released := range map[string]bool{"1024": true, "": false, "dynamic": false} {
		c.LossScale, c.Out = scale, filepath.Join(t.TempDir(), "out")
		trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
		if err != nil {
			t.Fatal(err)
		}
		offered := slices.ContainsFunc(slices.Concat(trainer.plans()...), func(p MemoryPlan) bool { return p.Release })
		if err := trainer.Close(); err != nil || offered != released {
			t.Errorf("loss scale %q: released gradients are offered: %v (%v)", scale, offered, err)
		}
	}
}

// Micro-batches, lanes, adapters, other objectives and losses of whole steps are scaled as one batch is: norms are float32's.
func TestEachKindOfRunIsScaled(t *testing.T) {
	kinds := map[string]func(*Config){
		"micro-batches": func(c *Config) { c.MicroBatch = 1 },
		"step loss":     func(c *Config) { c.Loss, c.MicroBatch = "bco_pair", 3 },
		"adapter":       func(c *Config) { adapted(false)(t, c) },
		"sft":           func(c *Config) { likelihoodOf(t, c); c.MicroBatch = 2 },
		"reward":        func(c *Config) { rewardRunOf(t, c); c.EvalData = nil },
		"follower":      func(c *Config) { c.SyncRefModel, c.RefModelSyncSteps = true, 1 },
	}
	for name, set := range kinds {
		t.Run(name, func(t *testing.T) {
			c := tinyConfig(t)
			set(&c)
			c.Steps, c.Out = 3, filepath.Join(t.TempDir(), "out")
			want := mustTrain(t, c)
			c.Device, c.DType, c.Out = guarded.String(), "float16", filepath.Join(t.TempDir(), "half")
			for i, m := range mustTrain(t, c) {
				if m.SkippedSteps != 0 || math.Abs(m.GradNorm/want[i].GradNorm-1) > 0.02 || math.Abs(m.Loss-want[i].Loss) > 0.02*math.Abs(want[0].Loss) {
					t.Errorf("step %d: norm %v and loss %v, in float32 %v and %v (%+v)", i+1, m.GradNorm, m.Loss, want[i].GradNorm, want[i].Loss, *m.Scaling)
				}
			}
		})
	}
}
