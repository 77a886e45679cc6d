package dpo

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// openMixed opens a model that computes in a narrower type than it is trained in: in float32 where weights are float64, since the CPU has kernels
// for both. Where cast is set, its graphs cast weights each time they use them.
func openMixed(t *testing.T, dir, optimizer string, cast bool, options engine.Options) *network {
	t.Helper()
	m, err := models.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewArtifact(m.Architecture, m.Decoder, Export{Types: models.Types{Compute: onnx.Float32, Weights: onnx.Float64}, Loss: named(t, "sigmoid"),
		Optimizer: optimizer, Rungs: artifact.Rungs})
	if err != nil {
		t.Fatal(err)
	}
	if cast {
		castAgain(a)
	}
	if options.Updates, err = (Config{Optimizer: optimizer}).updates(m.Decoder); err != nil {
		t.Fatal(err)
	}
	return loaded(t, prepared(t, m, a, options))
}

// castAgain puts the casts of weights into the graphs of stages that precast took out, and takes the outputs that are in their place.
func castAgain(a *artifact.Artifact) {
	for _, g := range a.Graphs {
		g.Outputs = slices.DeleteFunc(g.Outputs, func(v *onnx.Value) bool { return v.Name == "rounded.p" })
	}
	for _, s := range a.Stages {
		for input := range s.Params {
			for _, g := range a.Graphs {
				in := g.Input(input)
				if in == nil || in.Type != onnx.Float32 {
					continue
				}
				narrow := &onnx.Value{Name: input + ".narrow", Type: in.Type, Shape: in.Shape}
				narrow.Node = &onnx.Node{Op: "Cast", Name: narrow.Name, Inputs: []*onnx.Value{in}, Outputs: []*onnx.Value{narrow}, Attrs: onnx.Attrs{"to": int64(in.Type)}}
				for _, n := range g.Nodes {
					for i, v := range n.Inputs {
						if v == in {
							n.Inputs[i] = narrow
						}
					}
				}
				g.Nodes = append([]*onnx.Node{narrow.Node}, g.Nodes...)
				in.Type = onnx.Float64
			}
		}
	}
}

// samePasses holds that two networks give the same bits, forward and backward.
func samePasses(t *testing.T, a, b *network) {
	t.Helper()
	groups, weights := mixedGroups(a.model.Vocab)
	logps, grads := gradients(t, a, groups, weights)
	others, otherGrads := gradients(t, b, groups, weights)
	if !slices.Equal(logps, others) {
		t.Errorf("log-probabilities %v and %v", logps, others)
	}
	for name := range grads {
		if !slices.Equal(grads[name], otherGrads[name]) {
			t.Errorf("gradients of %s are %.1e apart", name, furthest(grads[name], otherGrads[name]))
		}
	}
}

// Weights that are rounded once an update are those that graphs would cast: before an update by each optimizer, and after it, all bits are
// the same.
func TestWeightsRoundedOnce(t *testing.T) {
	for _, model := range []string{"tiny-llama", "tiny-gemma3", "tiny-gpt2"} {
		for _, optimizer := range optim.Names() {
			t.Run(model+"/"+optimizer, func(t *testing.T) {
				dir := golden.Testdata(t, "models", model)
				rounded, cast := openMixed(t, dir, optimizer, false, engine.Options{}), openMixed(t, dir, optimizer, true, engine.Options{})
				samePasses(t, rounded, cast)
				before, _, err := rounded.weights.Bytes(rounded.weights.Names[0])
				if err != nil {
					t.Fatal(err)
				}
				before = bytes.Clone(before)
				for _, n := range []*network{rounded, cast} {
					updateOnce(t, n, optimizer)
				}
				if after, _, _ := rounded.weights.Bytes(rounded.weights.Names[0]); bytes.Equal(before, after) {
					t.Error("the update moved nothing")
				}
				samePasses(t, rounded, cast)
			})
		}
	}
}

// updateOnce takes a step far enough to move weights in float32.
func updateOnce(t *testing.T, n *network, optimizer string) {
	t.Helper()
	grads, err := n.engine.NewGradients()
	if err != nil {
		t.Fatal(err)
	}
	defer grads.Close()
	groups, weights := mixedGroups(n.model.Vocab)
	accumulate(t, n, grads, groups, weights)
	updates, err := n.engine.NewOptimizer(n.weights, grads)
	if err != nil {
		t.Fatal(err)
	}
	defer updates.Close()
	o, err := optim.New(optimizer, nil)
	if err == nil {
		_, err = updates.Norm()
	}
	if err == nil {
		err = updates.Step(o.Scalars(optim.Step{Rate: 1e-2, Scale: 1, WeightDecay: 0.1}))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Weights that are offloaded and rounded are those of the device.
func TestOffloadRounds(t *testing.T) {
	device := engine.Options{Device: ort.Device{Kind: ort.Guarded}}
	for _, optimizer := range optim.Names() {
		for _, offload := range Offloads() {
			t.Run(optimizer+"/"+offload, func(t *testing.T) {
				dir := golden.Testdata(t, "models", "tiny-llama")
				options := device
				options.Offload = engine.Offload(offload)
				offloaded, there := openMixed(t, dir, optimizer, false, options), openMixed(t, dir, optimizer, false, device)
				for _, n := range []*network{offloaded, there} {
					updateOnce(t, n, optimizer)
				}
				samePasses(t, offloaded, there)
			})
		}
	}
}

// Tensors of several slices, and matrices of many rows that are updated as a whole, come to the same bits where they are offloaded, and are run with so.
func TestOffloadOfLargeTensors(t *testing.T) {
	_, tall, err := models.Describe(golden.Testdata(t, "models", "tiny-llama"))
	if err != nil {
		t.Fatal(err)
	}
	tall.Vocab = 1<<17 + 64
	for name, released := range map[string]bool{"adamw": false, "adafactor": true} {
		d := wide(t)
		if name == "adafactor" {
			d = tall
		}
		var all [][]byte
		var logps [][]float64
		for _, offload := range append([]string{""}, Offloads()...) {
			u := openUpdatesAs(t, Config{Optimizer: name}, d, onnx.Float64, engine.Options{Device: ort.Device{Kind: ort.Guarded}, Threads: 2, Offload: engine.Offload(offload)}, released)
			_, weights := u.step(t, d)
			pass, err := u.engine.Score(u.weights, newBatch(d, onnx.Float32, randomGroups(1, d.Vocab, 4, 4), 1))
			if err != nil {
				t.Fatal(err)
			}
			all, logps = append(all, weights), append(logps, pass.LogProbs)
		}
		for i, offload := range Offloads() {
			if !bytes.Equal(all[0], all[i+1]) || !slices.Equal(logps[0], logps[i+1]) {
				t.Errorf("%s, %s offloaded: the same weights: %v; log-probabilities %v, not %v", name, offload, bytes.Equal(all[0], all[i+1]), logps[i+1], logps[0])
			}
		}
	}
}

// What is offloaded changes no bit of a run, by any optimizer, with gradients at once or released, of a model or of an adapter.
func TestOffloadTrainsTheSame(t *testing.T) {
	run := func(t *testing.T, c Config, file string) []byte {
		t.Helper()
		c.Device, c.Out = guarded.String(), filepath.Join(t.TempDir(), "out")
		mustTrain(t, c)
		saved, err := os.ReadFile(filepath.Join(c.Out, file))
		if err != nil {
			t.Fatal(err)
		}
		return saved
	}
	compare := func(t *testing.T, c Config, file string) {
		c.Steps, c.MaxGradNorm = 3, 0
		for _, release := range []bool{false, true} {
			c.Planned = &MemoryPlan{MicroTokens: 4096, Release: release, Passes: engine.Plan{HeadColumns: 64}}
			want := run(t, c, file)
			for _, c.Offload = range Offloads() {
				if got := run(t, c, file); !bytes.Equal(got, want) {
					t.Errorf("with %s offloaded, gradients released: %v, another model", c.Offload, release)
				}
			}
			c.Offload = ""
		}
	}
	eachVariant(t, func(t *testing.T, c Config) { compare(t, c, "model.safetensors") })
	t.Run("adapter", func(t *testing.T) { compare(t, adapterConfig(t, "tiny-llama-lora"), "adapter_model.safetensors") })
	t.Run("reference that follows", func(t *testing.T) {
		c := tinyConfig(t)
		c.SyncRefModel, c.RefModelSyncSteps = true, 2
		compare(t, c, "model.safetensors")
	})
}
