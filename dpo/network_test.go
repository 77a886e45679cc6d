package dpo

import (
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// openTest opens a model directory to compute in a type.
func openTest(t testing.TB, dir string, compute onnx.DType, o engine.Options) *network {
	t.Helper()
	return openForLoss(t, "sigmoid", dir, compute, o)
}

func openForLoss(t testing.TB, loss, dir string, compute onnx.DType, o engine.Options) *network {
	t.Helper()
	m, err := models.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	types := models.Types{Compute: compute, Weights: compute, Fused: fuses(o.Device, compute)}
	if compute.Size() == 2 { // half precision computes from weights of float32
		types.Weights = onnx.Float32
	}
	a, err := NewArtifact(m.Architecture, m.Decoder, Export{Types: types,
		Loss: named(t, loss), Optimizer: "adamw", Rungs: artifact.Rungs})
	if err != nil {
		t.Fatal(err)
	}
	return loaded(t, prepared(t, m, a, o))
}

// prepared is a network that is closed with the test; its weights are still to be loaded.
func prepared(t testing.TB, m *models.Model, a *artifact.Artifact, o engine.Options) *network {
	t.Helper()
	n, err := preparePolicy(m, a, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func loaded(t testing.TB, n *network) *network {
	t.Helper()
	if err := n.load(); err != nil {
		t.Fatal(err)
	}
	return n
}

// gradients runs groups of one K forward and backward: log-probabilities [G·K], and the gradient of Σ dlogps·logps by
// tensor.
func gradients(t testing.TB, n *network, groups []datasets.Example, dlogps []float64) ([]float64, map[string][]float64) {
	t.Helper()
	grads, err := n.engine.NewGradients()
	if err != nil {
		t.Fatal(err)
	}
	defer grads.Close()
	logps := accumulate(t, n, grads, groups, dlogps)
	return logps, values(t, n, grads)
}

// accumulate adds the gradient of Σ dlogps·logps to grads.
func accumulate(t testing.TB, n *network, grads *engine.Gradients, groups []datasets.Example, dlogps []float64) []float64 {
	t.Helper()
	return accumulateBatch(t, n, grads, n.batch(groups), dlogps)
}

func accumulateBatch(t testing.TB, n *network, grads *engine.Gradients, b *engine.Batch, dlogps []float64) []float64 {
	t.Helper()
	pass, err := n.engine.Forward(n.weights, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := pass.Backward(grads, dlogps); err != nil {
		t.Fatal(err)
	}
	return pass.LogProbs
}

// values copies tensors out as float64.
func values(t testing.TB, n *network, g *engine.Gradients) map[string][]float64 {
	t.Helper()
	out := map[string][]float64{}
	weights, err := onnx.ParseDType(n.engine.Artifact().Weights)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range g.Names() {
		data, _, err := g.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = engine.Array{Type: weights, Data: data}.Floats()
	}
	return out
}

// The digests of models that scored files and checkpoints hold stay, whatever is learnt of other models since.
func TestWeightsDigestStays(t *testing.T) {
	for name, want := range map[string]string{
		"tiny-llama":         "8b0d5cc457f8b9a0b401a31e57476e89fad50248a7dbb3f589a09d191dd417a7",
		"tiny-llama-dynamic": "6c9e057683665b230c6339786ee36ede3cf2706729db6a71f387dca0f97da783",
		"tiny-gemma3":        "fe4968fe5c1b91358500f1bb1fd83a4d5655cadaf1b3f9b951d44a38568c3632",
	} {
		m, err := models.Open(golden.Testdata(t, "models", name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := weightsDigest(m); err != nil || got != want {
			t.Errorf("%s: %s (%v), was %s", name, got, err, want)
		}
		m.Close()
	}
}
