package dpo

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// variants are all optimizers, some with settings that give them other states.
func variants() map[string]Config {
	out := map[string]Config{
		"rmsprop with momentum": {Optimizer: "rmsprop", OptimizerSettings: settings.Values{"momentum": "0.5"}},
		"sgd without momentum":  {Optimizer: "sgd", OptimizerSettings: settings.Values{"momentum": "0"}},
		"adafactor with mean":   {Optimizer: "adafactor", OptimizerSettings: settings.Values{"beta1": "0.9", "scale_parameter": "true"}},
	}
	for _, name := range optim.Names() {
		out[name] = Config{Optimizer: name}
	}
	return out
}

// eachVariant trains tiny-llama by each, at a rate by which its loss falls.
func eachVariant(t *testing.T, f func(t *testing.T, c Config)) {
	for name, v := range variants() {
		t.Run(name, func(t *testing.T) {
			c := tinyConfig(t)
			c.Optimizer, c.OptimizerSettings, c.WeightDecay = v.Optimizer, v.OptimizerSettings, 0.1
			if c.Optimizer == "sgd" {
				c.LR = 1e-2
			}
			f(t, c)
		})
	}
}

// Every optimizer trains rankings without error, and the loss falls.
func TestEachOptimizerTrains(t *testing.T) {
	eachVariant(t, func(t *testing.T, c Config) {
		c.Schedule, c.Warmup, c.Loss = "cosine", -1, "plackett_luce"
		c.Steps, c.Batch, c.NoShuffle = 6, 24, true
		m := mustTrain(t, c)
		if first, last := m[0], m[len(m)-1]; !(last.Loss < first.Loss) || last.Epoch != 6 {
			t.Errorf("loss %v to %v in %v epochs", first.Loss, last.Loss, last.Epoch)
		}
	})
}

// Every schedule gives a run the rates that it says.
func TestEachScheduleTrains(t *testing.T) {
	for _, name := range optim.Schedules() {
		c := tinyConfig(t)
		c.Schedule, c.Warmup, c.Steps = name, 1, 4
		if name == "cosine_with_min_lr" {
			c.ScheduleSettings = settings.Values{"min_lr": "1e-4"}
		}
		s, err := optim.NewSchedule(name, c.ScheduleSettings, c.LR, 1, 4, "paper")
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range mustTrain(t, c) {
			if m.LearningRate != s.Rate(i) {
				t.Errorf("%s: the rate of step %d is %v, want %v", name, i+1, m.LearningRate, s.Rate(i))
			}
		}
	}
}

// With each optimizer a run that was stopped and resumed ends in the bits, of weights and of states, of one that was not.
func TestEachOptimizerResumesToTheSameBits(t *testing.T) {
	eachVariant(t, func(t *testing.T, through Config) {
		through.Steps = 4
		mustTrain(t, through)
		c, _ := stoppedAndResumed(t, through, 2)
		for _, file := range []string{"model.safetensors", "run/checkpoints/step-000004/optimizer.safetensors"} {
			a, err1 := os.ReadFile(filepath.Join(through.Out, file))
			b, err2 := os.ReadFile(filepath.Join(c.Out, file))
			if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
				t.Errorf("%s differs (%v, %v)", file, err1, err2)
			}
		}
	})
}

// With each optimizer released gradients give the same bits as those that are held, on one thread or two.
func TestEachOptimizerReleasesGradients(t *testing.T) {
	eachVariant(t, func(t *testing.T, c Config) {
		c.Steps, c.MaxGradNorm = 3, 0
		var models [][]byte
		for i, p := range []MemoryPlan{{MicroTokens: 4096}, {MicroTokens: 4096, Release: true}, {MicroTokens: 1024, Lanes: 8}, {MicroTokens: 1024, Lanes: 8}} {
			c.Out, c.Planned, c.Threads = filepath.Join(t.TempDir(), "out"), &p, 2-i/3
			mustTrain(t, c)
			model, err := os.ReadFile(filepath.Join(c.Out, "model.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			models = append(models, model)
		}
		if !bytes.Equal(models[0], models[1]) {
			t.Error("released gradients give another model")
		}
		if !bytes.Equal(models[2], models[3]) {
			t.Error("two threads give another model")
		}
	})
}

// The plan counts the states that a checkpoint holds, and adafactor's are no more than the rows and columns of matrices and the elements
// of vectors.
func TestStatesAreCounted(t *testing.T) {
	eachVariant(t, func(t *testing.T, c Config) {
		c.Steps, c.NoShuffle = 1, true
		trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
		if err != nil {
			t.Fatal(err)
		}
		planned := trainer.expected.States
		want := int64(0)
		for _, shape := range trainer.policy.engine.Parameters() {
			n := shape[0]
			for _, d := range shape[1:] {
				n += d
			}
			want += 4 * n
		}
		if err := trainer.Close(); err != nil {
			t.Fatal(err)
		}
		mustTrain(t, c)
		f, err := safetensors.Open(filepath.Join(c.Out, "run", "checkpoints", "step-000001", "optimizer.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		saved, padding := int64(0), int64(0)
		for _, name := range f.Names() {
			x, err := f.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			saved, padding = saved+int64(len(x.Data)), padding+60
		}
		if saved > planned || planned > saved+padding {
			t.Errorf("%d bytes of states are planned, %d saved", planned, saved)
		}
		if c.Optimizer == "adafactor" && c.OptimizerSettings == nil && saved != want {
			t.Errorf("adafactor keeps %d bytes, rows and columns are %d", saved, want)
		}
	})
}

// wide is a model of two layers whose optimizer outweighs a small micro-batch: 6.8 million parameters.
func wide(t testing.TB) models.Decoder {
	t.Helper()
	_, d, err := models.Describe(golden.Testdata(t, "models", "tiny-llama"))
	if err != nil {
		t.Fatal(err)
	}
	d.Hidden, d.Intermediate, d.Heads, d.KVHeads, d.HeadDim, d.Vocab = 512, 1536, 64, 64, 8, 4096
	return d
}

// updating is an engine that updates the parameters of a model, all zeros at first, by an optimizer.
type updating struct {
	engine  *engine.Engine
	weights *engine.Weights
	grads   *engine.Gradients // nil where they are released
	updates *engine.Optimizer
	scalars map[string]float64
}

func openUpdates(t testing.TB, c Config, d models.Decoder, threads int, released bool) updating {
	t.Helper()
	return openUpdatesAs(t, c, d, onnx.Float32, engine.Options{Threads: threads}, released)
}

// openUpdatesAs trains weights of a type that a model in float32 is run with.
func openUpdatesAs(t testing.TB, c Config, d models.Decoder, weights onnx.DType, options engine.Options, released bool) (u updating) {
	t.Helper()
	o, err := optim.New(c.Optimizer, c.OptimizerSettings)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewArtifact("", d, Export{Types: models.Types{Compute: onnx.Float32, Weights: weights}, Loss: named(t, "sigmoid"), Optimizer: c.Optimizer,
		OptimizerSettings: c.OptimizerSettings, Rungs: []artifact.Rung{artifact.Recompute}})
	if err != nil {
		t.Fatal(err)
	}
	if options.Updates, err = c.updates(d); err != nil {
		t.Fatal(err)
	}
	if u.engine, err = engine.New(a, options); err != nil {
		t.Fatal(err)
	}
	if u.weights, err = u.engine.NewWeights(); err != nil {
		t.Fatal(err)
	}
	if !released {
		if u.grads, err = u.engine.NewGradients(); err != nil {
			t.Fatal(err)
		}
	}
	if u.updates, err = u.engine.NewOptimizer(u.weights, u.grads); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close := []func() error{u.updates.Close, u.weights.Close, u.engine.Close}
		if u.grads != nil {
			close = append(close, u.grads.Close)
		}
		for _, f := range close {
			if err := f(); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := u.updates.Norm(); err != nil { // clears the gradients
		t.Fatal(err)
	}
	u.scalars = o.Scalars(optim.Step{Rate: 1e-4, Scale: 1, WeightDecay: 0.1})
	return u
}

// drawnWeights are random numbers for parameters of these shapes.
type drawnWeights map[string][]int64

func (w drawnWeights) Tensor(name string) (safetensors.Tensor, error) {
	rng, elements := rand.New(rand.NewPCG(uint64(len(name)), uint64(name[len(name)/2]))), int64(1)
	for _, d := range w[name] {
		elements *= d
	}
	values := make([]float64, elements)
	for i := range values {
		values[i] = 0.06 * rng.NormFloat64()
	}
	return safetensors.Tensor{DType: "F32", Shape: w[name], Data: engine.Floats(onnx.Float32, values).Data}, nil
}

// step takes one, from random weights, and gives the gradient's norm and what the weights are then.
func (u updating) step(t *testing.T, d models.Decoder) (norm float64, weights []byte) {
	t.Helper()
	if err := u.weights.Set(drawnWeights(u.engine.Parameters())); err != nil {
		t.Fatal(err)
	}
	pass, err := u.engine.Forward(u.weights, newBatch(d, onnx.Float32, randomGroups(1, d.Vocab, 4, 4), 1))
	if err != nil {
		t.Fatal(err)
	}
	grads := u.grads
	if grads == nil {
		grads = u.updates.Released(u.scalars)
	} else {
		grads.Clear()
	}
	err = pass.Backward(grads, []float64{1, -1})
	pass.Close()
	if err == nil && u.grads != nil {
		err = u.updates.Step(u.scalars)
	}
	if err == nil {
		norm, err = u.updates.Norm()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range u.weights.Names {
		data, _, err := u.weights.Bytes(tensor)
		if err != nil {
			t.Fatal(err)
		}
		weights = append(weights, data...)
	}
	return norm, weights
}

// Tensors of several slices, whose gradients are released or held, come to the same bits, and the norm to 1e-12.
func TestReleasedGradientsOfLargeTensors(t *testing.T) {
	d := wide(t)
	for _, name := range []string{"adamw", "adafactor", "muon"} {
		var norms []float64
		var all [][]byte
		for _, released := range []bool{false, true} {
			u := openUpdates(t, Config{Optimizer: name}, d, 2, released)
			norm, weights := u.step(t, d)
			norms, all = append(norms, norm), append(all, weights)
		}
		if !bytes.Equal(all[0], all[1]) || !(math.Abs(norms[0]/norms[1]-1) <= 1e-12) || norms[0] == 0 {
			t.Errorf("%s: the same weights: %v; norms %v", name, bytes.Equal(all[0], all[1]), norms)
		}
	}
}

// The temporaries of updates of whole tensors are those that the plan foretells: never more by 5 %, nor less by 15 %.
func TestUpdatesTakeWhatIsPlanned(t *testing.T) {
	for _, name := range []string{"adafactor", "muon"} {
		for _, threads := range []int{1, 2} {
			d := wide(t)
			u := openUpdates(t, Config{Optimizer: name}, d, threads, false)
			ort.TrimScratch()
			for range 2 {
				if err := u.updates.Step(u.scalars); err != nil {
					t.Fatal(err)
				}
			}
			peak := float64(ort.ScratchPeak())
			need, err := u.engine.Need(microShape{G: 1, K: 2, P: 1, C: 2, T: 3, R: 2, blocks: 1}.batch(false), engine.Uniform(artifact.Recompute, d.Layers), false)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s, %d threads: %.1f MiB taken, %.1f planned", name, threads, peak/(1<<20), float64(need.Scratch)/(1<<20))
			if ratio := peak / float64(need.Scratch); ratio > 1.05 || ratio < 0.85 {
				t.Errorf("%s, %d threads: %v bytes are taken, %d planned", name, threads, peak, need.Scratch)
			}
		}
	}
}

// BenchmarkOptimizers runs each over the same parameters, one after the other in every round, so that the ratios hold on a busy machine.
func BenchmarkOptimizers(b *testing.B) {
	d := wide(b)
	names := optim.Names()
	steps := map[string]func() error{}
	count := 0.0
	for _, name := range names {
		u := openUpdates(b, Config{Optimizer: name}, d, 0, false)
		steps[name] = func() error { return u.updates.Step(u.scalars) }
		count = 0
		for _, shape := range u.engine.Parameters() {
			n := 1.0
			for _, x := range shape {
				n *= float64(x)
			}
			count += n
		}
	}
	least := map[string]float64{}
	for _, name := range names {
		least[name] = math.Inf(1)
	}
	for b.Loop() {
		for _, name := range names {
			start := time.Now()
			if err := steps[name](); err != nil {
				b.Fatal(err)
			}
			least[name] = min(least[name], time.Since(start).Seconds())
		}
	}
	for _, name := range names {
		b.ReportMetric(count/least[name]/1e6, name+"-Mparams/s")
	}
}
