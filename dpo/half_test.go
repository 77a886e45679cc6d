package dpo

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/graphtest"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// half is a run of tiny-llama in float16. ONNX Runtime puts casts around the operators that the CPU has only in float32, and leaves out those between
// neighbours, so what passes between two such is not rounded as it would be on a GPU.
func half(t *testing.T) Config {
	t.Helper()
	c := tinyConfig(t)
	c.Device, c.DType = guarded.String(), onnx.Float16.String()
	return c
}

// In float16 the gradient of the scaled loss points where float32's does, and is as much longer as the scale is large.
func TestFloat16Gradients(t *testing.T) {
	const scale = 1024
	for model, dir := range folders(t) {
		n := openTest(t, dir, onnx.Float32, engine.Options{})
		groups, weights := mixedGroups(n.model.Vocab)
		_, want := gradients(t, n, groups, weights)
		scaled := make([]float64, len(weights))
		for i, w := range weights {
			scaled[i] = scale * w
		}
		for _, rung := range artifact.Rungs {
			t.Run(model+"/"+string(rung), func(t *testing.T) {
				_, got := gradients(t, openTest(t, dir, onnx.Float16, engine.Options{Plan: engine.Uniform(rung, 99)}), groups, scaled)
				pointAlike(t, want, got)
				var a, b float64
				for name := range want {
					a, b = a+square(want[name]), b+square(got[name])
				}
				if length := math.Sqrt(b/a) / scale; math.Abs(length-1) > 1e-3 {
					t.Errorf("the gradient is %v times as long as it should be", length)
				}
			})
		}
	}
}

// Gradients that are small vanish in float16 unless they are scaled.
func TestFloat16NeedsItsScale(t *testing.T) {
	dir := golden.Testdata(t, "models", "tiny-llama")
	n := openTest(t, dir, onnx.Float16, engine.Options{})
	groups, weights := mixedGroups(n.model.Vocab)
	for i := range weights {
		weights[i] *= 1e-8
	}
	lost := func(scale float64) (zeros, all int) {
		scaled := make([]float64, len(weights))
		for i, w := range weights {
			scaled[i] = scale * w
		}
		_, got := gradients(t, n, groups, scaled)
		for _, x := range got["model.layers.0.self_attn.q_proj.weight"] {
			if all++; x == 0 {
				zeros++
			}
		}
		return zeros, all
	}
	plain, all := lost(1)
	scaled, _ := lost(firstScale)
	if t.Logf("of %d elements %d are 0, with the scale %d", all, plain, scaled); plain < all/2 || scaled > all/100 {
		t.Errorf("of %d elements %d are 0, with the scale %d", all, plain, scaled)
	}
}

// A hidden key has no weight beside scores of any size that attention has, and a row that is hidden whole stays finite.
func TestHiddenKeys(t *testing.T) {
	const largest = 21800
	for _, compute := range []onnx.DType{onnx.Float32, onnx.Float16} {
		g, err := onnx.Build("masked", func(b *onnx.Builder) {
			scores, mask := b.Input("scores", compute, onnx.Dims(3, 2)...), b.Input("mask", compute, onnx.Dims(3, 2)...)
			sum := b.Op("Add", []*onnx.Value{scores, mask}, nil)
			b.Output("sum", sum) // so that the CPU rounds it, which keeps what passes between two operators as it is
			b.Output("probs", b.Op("Softmax", []*onnx.Value{sum}, onnx.Attrs{"axis": -1}))
		})
		if err != nil {
			t.Fatal(err)
		}
		h := hiddenIn(compute)
		given := func(values ...float64) *onnx.Tensor {
			x, err := onnx.FloatTensor(compute, values, 3, 2)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		out := graphtest.Run(t, g, nil, map[string]*onnx.Tensor{"scores": given(-largest, largest, 7, 7, -largest, -largest), "mask": given(0, h, h, h, h, h)})
		sums, err := out["sum"].Floats()
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(sums, func(x float64) bool { return x-x != 0 }) {
			t.Errorf("%s: scores and mask come to %v", compute, sums)
		}
		probs, err := out["probs"].Floats()
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []float64{1, 0, 0.5, 0.5, 0.5, 0.5} {
			if probs[i] != want {
				t.Errorf("%s: probabilities %v", compute, probs)
				break
			}
		}
	}
	for name, a := range newBatch(toy, onnx.Float16, randomGroups(2, 50, 3, 5), 1).Inputs {
		if a.Type != onnx.Float16 {
			continue
		}
		values, err := (&onnx.Tensor{Type: a.Type, Dims: a.Shape, Data: a.Data}).Floats()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range values {
			if x-x != 0 || x < hiddenHalf {
				t.Fatalf("input %s holds %v", name, x)
			}
		}
	}
}

// Fifty steps in float16 lose what fifty steps in float32 do, to 2 % of the first loss, and no step is skipped.
func TestFloat16Training(t *testing.T) {
	run := func(c Config) (all []float64) {
		c.Steps, c.LR = 50, 1e-4
		_, steps := trained(t, c)
		for _, m := range steps {
			if all = append(all, m.Loss); m.Scaling != nil && (m.LossScale != firstScale || m.SkippedSteps > 0) {
				t.Errorf("step %d: %+v", m.Step, *m.Scaling)
			}
		}
		return all
	}
	want := run(tinyConfig(t))
	sameLosses(t, want, run(half(t)))
}

// norms are steps' gradient norms, in float16 those of the loss itself.
func TestFloat16NormsAndOptimizers(t *testing.T) {
	eachVariant(t, func(t *testing.T, c Config) {
		c.Steps = 3
		want := mustTrain(t, c)
		c.Out, c.Device, c.DType = filepath.Join(t.TempDir(), "out"), guarded.String(), onnx.Float16.String()
		for i, m := range mustTrain(t, c) {
			if math.Abs(m.GradNorm/want[i].GradNorm-1) > 0.02 || math.Abs(m.Loss-want[i].Loss) > 0.02*want[0].Loss {
				t.Errorf("step %d: norm %v and loss %v, in float32 %v and %v", i+1, m.GradNorm, m.Loss, want[i].GradNorm, want[i].Loss)
			}
		}
	})
}

// A weight beyond float16's range is refused by name, before anything is computed; the head's, which is never cast, is not.
func TestFloat16RefusesLargeWeights(t *testing.T) {
	c := half(t)
	spoilt := func(tensor string) string {
		m := openModel(t, golden.Testdata(t, "models", "tiny-llama-untied"))
		return savedAs(t, m, "bfloat16", func(name string, _ []int64, w []float32) {
			if name == tensor {
				w[3] = -70000
			}
		})
	}
	c.Model = spoilt("model.layers.1.mlp.up_proj.weight")
	if _, err := train(t, c, false, nil); err == nil || !strings.Contains(err.Error(), "tensor model.layers.1.mlp.up_proj.weight holds 70144, and float16 ends at 65,504") {
		t.Errorf("error %v", err)
	}
	follows := half(t)
	follows.Model, follows.Ref, follows.SyncRefModel = golden.Testdata(t, "models", "tiny-llama-untied"), c.Model, true
	if _, err := train(t, follows, false, nil); err == nil || !strings.Contains(err.Error(), "reference: compute ") {
		t.Errorf("of a reference that follows: error %v", err)
	}
	if n, err := openFrozen(c.Model, onnx.Float16, engine.Options{}); err == nil {
		n.close()
		t.Error("it is opened to score with")
	}
	n, err := openFrozen(spoilt("lm_head.weight"), onnx.Float16, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
}

// Activations that overflow float16 end a run, and make errors of the rows that are scored, by the rows' names.
func TestFloat16Overflow(t *testing.T) {
	c := half(t)
	m := openModel(t, c.Model)
	c.Model = savedAs(t, m, "float32", func(name string, _ []int64, w []float32) {
		if strings.HasSuffix(name, "mlp.up_proj.weight") || strings.HasSuffix(name, "mlp.gate_proj.weight") {
			for i := range w {
				w[i] *= 3e4
			}
		}
	})
	plain := c
	plain.DType, plain.Steps, plain.Out = "float32", 1, filepath.Join(t.TempDir(), "out")
	mustTrain(t, plain)
	if _, err := train(t, c, false, nil); err == nil || !strings.Contains(err.Error(), "pairs.jsonl are [NaN NaN]: look at the row and at the model's weights, or compute in bfloat16") {
		t.Errorf("error %v", err)
	}
	c.RefColumns, c.ReferenceFree, c.Out = "ignore", true, filepath.Join(t.TempDir(), "free")
	_, err := train(t, c, false, nil)
	var diverged *DivergedError
	if !errors.As(err, &diverged) || len(diverged.Rows) == 0 || !strings.Contains(err.Error(), "or look at these rows, or compute in bfloat16") {
		t.Errorf("error %v", err)
	}
	s, err := NewScorer(ScoreConfig{Model: c.Model, Device: guarded.String(), DType: "float16", Truncate: "prompt", EOS: "add"}, loadTokenizer(t, c.Model))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	group := datasets.Group{Prompt: datasets.Text{String: "the cat"}, Completions: []datasets.Text{{String: " sat"}, {String: " ran"}}}
	scores, err := s.Score([]datasets.Group{group})
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range scores {
		if of.Err == nil || !strings.Contains(of.Err.Error(), "the log-probabilities are ") {
			t.Errorf("scores %+v", of)
		}
	}
}

// Half precision and TF32 are settings of a GPU, and what is set twice or for nothing is refused by name.
func TestPrecisionSettings(t *testing.T) {
	for want, set := range map[string]func(c *Config){
		"dtype float16 is for a GPU (--device cuda:0): the CPU computes in float32":    func(c *Config) { c.DType = "float16" },
		"tf32 is for a GPU (--device cuda:0): the CPU computes in float32":             func(c *Config) { c.TF32 = true },
		"loss-scale is a setting of --dtype float16, not of float32: leave it out":     func(c *Config) { c.LossScale = "dynamic" },
		"loss-scale is a setting of --dtype float16, not of bfloat16: leave it out":    func(c *Config) { c.DType, c.LossScale = "bfloat16", "8" },
		`loss-scale must be dynamic or a positive number, it is "fast"`:                func(c *Config) { c.DType, c.LossScale = "float16", "fast" },
		`loss-scale must be dynamic or a positive number, it is "-1"`:                  func(c *Config) { c.DType, c.LossScale = "float16", "-1" },
		"tf32 is a setting of --dtype float32, not of float16, whose float32 products": func(c *Config) { c.DType, c.TF32 = "float16", true },
		"dtype must be one of float32, bfloat16, float16, it is \"half\"":              func(c *Config) { c.DType = "half" },
	} {
		c := tinyConfig(t)
		set(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	with := tinyConfig(t)
	with.TF32, with.LossScale = true, "8"
	if named, err := settingsByFlag(with); err != nil || named["tf32"] != "true" || named["loss-scale"] != "8" {
		t.Errorf("a run keeps %v (%v)", named, err)
	}
	if !with.encoding(nil).TF32 {
		t.Error("scores do not say that they were computed with tf32")
	}
	half := half(t)
	if o, compute, err := precision(guarded.String(), "float32", true, 0); err != nil || !o.TF32 || compute != onnx.Float32 {
		t.Errorf("--tf32 gives %+v in %s (%v)", o, compute, err)
	}
	for _, scale := range []string{"", "dynamic", "1024", "0.5"} {
		if half.LossScale = scale; half.Check() != nil {
			t.Errorf("loss scale %q: %v", scale, half.Check())
		}
	}
}

// A resume with another type, scale or rounding is refused.
func TestResumeRefusesAnotherPrecision(t *testing.T) {
	c := half(t)
	if _, err := train(t, c, false, func(step int) bool { return step == 2 }); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	for want, set := range map[string]func(c *Config){
		"loss-scale was none, is 1024":                           func(c *Config) { c.LossScale = "1024" },
		"dtype was float16, is float32":                          func(c *Config) { c.DType = "float32" },
		"dtype was float16, is float32; tf32 was none, is true;": func(c *Config) { c.DType, c.TF32 = "float32", true },
	} {
		other := c
		set(&other)
		if _, err := train(t, other, true, nil); err == nil || !strings.Contains(err.Error(), configFile+" is not what it was: "+want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
