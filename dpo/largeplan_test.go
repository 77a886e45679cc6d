package dpo

import (
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// shape7B is Llama's of 7 billion parameters.
func shape7B(t *testing.T) models.Decoder {
	t.Helper()
	_, d, err := models.Describe(golden.Testdata(t, "models", "tiny-llama"))
	if err != nil {
		t.Fatal(err)
	}
	d.Hidden, d.Intermediate, d.Layers, d.Heads, d.KVHeads, d.HeadDim, d.Vocab, d.Tied = 4096, 11008, 32, 32, 32, 128, 32000, false
	return d
}

// planned finds the plan of a step of so many pairs of 512+256 tokens in bfloat16 on a GPU, by AdamW with clipping, as gpu-check runs it. No device is asked.
func planned(t *testing.T, d models.Decoder, pairs int, offload engine.Offload, limit int64) (MemoryPlan, Memory, error) {
	t.Helper()
	weights := onnx.Float32
	if d.Adapter != nil {
		weights = onnx.BFloat16
	}
	c := tinyConfig(t)
	c.Optimizer, c.Batch, c.Steps, c.MaxGradNorm = "adamw", pairs, 1, 1
	a, err := NewArtifact("", d, Export{Types: models.Types{Compute: onnx.BFloat16, Weights: weights}, Loss: named(t, "sigmoid"), Optimizer: c.Optimizer, Rungs: artifact.Rungs})
	if err != nil {
		t.Fatal(err)
	}
	run := &Trainer{Config: c, loss: named(t, "sigmoid"), total: 1, options: engine.Options{Device: ort.Device{Kind: ort.CUDA}, Offload: offload},
		rows: &Rows{Examples: randomGroups(pairs, d.Vocab, 512, 256)}, eval: &Rows{}, order: order{rows: pairs, batch: pairs}}
	if run.policy, err = preparePolicy(&models.Model{Decoder: d}, a, run.options); err != nil {
		t.Fatal(err)
	}
	fixed, err := run.fixed(limit)
	if err != nil {
		t.Fatal(err)
	}
	return run.planMemory(fixed)
}

// A model of 7 billion parameters is trained with an adapter on 80 GB, or on half of that where parameters are offloaded, and as a whole on 141 GB, or where
// states are offloaded on 80 GB.
func TestPlansOf7B(t *testing.T) {
	const card80, card141 = 79 << 30, 140 << 30 // bytes that such cards have free
	adapted := shape7B(t)
	modules, _ := adapted.Targets([]string{models.AllLinear})
	adapted.Adapter = &models.Adapter{Modules: map[string]models.LowRank{}}
	for _, m := range modules {
		adapted.Adapter.Modules[m] = models.LowRank{Rank: 16, Scale: 2}
	}
	for _, c := range []struct {
		name    string
		d       models.Decoder
		offload engine.Offload
		limit   int64
		fits    bool
	}{
		{"LoRA of rank 16", adapted, "", card80, true},
		{"LoRA of rank 16", adapted, engine.OffloadParameters, card80 / 2, true},
		{"all weights", shape7B(t), "", card141, true},
		{"all weights", shape7B(t), "", card80, false},
		{"all weights", shape7B(t), engine.OffloadStates, card141, true},
		{"all weights", shape7B(t), engine.OffloadStates, card80, true},
	} {
		plan, m, err := planned(t, c.d, 16, c.offload, c.limit)
		t.Logf("%s, offloaded: %q, %d GiB: %.1f GiB (weights %.1f, frozen %.1f, gradients %.1f, states %.1f, activations %.1f, temporaries %.1f), host %.1f; %+v (%v)",
			c.name, c.offload, c.limit>>30, gib(m.Total()), gib(m.Weights), gib(m.Frozen), gib(m.Gradients), gib(m.States), gib(m.Activations), gib(m.Scratch), gib(m.Host), plan, err)
		if (err == nil) != c.fits {
			t.Errorf("%s on %d GiB, offloaded: %q: %v", c.name, c.limit>>30, c.offload, err)
		}
	}
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }
