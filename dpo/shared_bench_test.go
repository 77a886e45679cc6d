package dpo

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// The 135M shape is hidden 576, 30 layers, 49,152 words; fewer layers and words show sooner that the benchmark works.
var (
	benchLayers = flag.Int("layers", 30, "benchmarks: layers of the random model")
	benchWords  = flag.Int("vocabulary", 49152, "benchmarks: vocabulary of the random model")
)

// BenchmarkSharedPrompt runs four answers of 128 tokens to a prompt of 512 forward and backward with given gradients of their
// log-probabilities: the prompt computed once, and beside it the same as four separate sequences.
func BenchmarkSharedPrompt(b *testing.B) {
	n := randomNetwork(b)
	grads, err := n.engine.NewGradients()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { grads.Close() })
	const answers = 4
	shared := randomGroup(n.model.Vocab, 512, 128, answers)
	var separate []datasets.Example
	for _, c := range shared.Completions {
		separate = append(separate, datasets.Example{Prompt: shared.Prompt, Completions: []datasets.Completion{c}})
	}
	pass := func(groups []datasets.Example) time.Duration {
		batch, start := n.batch(groups), time.Now()
		grads.Clear()
		p, err := n.engine.Forward(n.weights, batch)
		if err == nil {
			err = p.Backward(grads, []float64{0.5, -0.25, -0.125, -0.125})
		}
		if err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	pass(separate) // memory is taken
	pass([]datasets.Example{shared})
	var together, apart time.Duration
	for b.Loop() {
		apart += pass(separate)
		together += pass([]datasets.Example{shared})
	}
	b.ReportMetric(together.Seconds()/float64(b.N), "shared-s")
	b.ReportMetric(apart.Seconds()/float64(b.N), "separate-s")
	b.ReportMetric(together.Seconds()/apart.Seconds(), "ratio")
}

// randomGroup makes a prompt and K answers.
func randomGroup(vocab, prompt, completion, k int) datasets.Example {
	x := randomGroups(1, vocab, prompt, completion)[0]
	for len(x.Completions) < k {
		x.Completions = append(x.Completions, randomGroups(1, vocab, 1, completion)[0].Completions[0])
	}
	return x
}

// randomNetwork opens a Llama of the 135M shape with random weights, none of which lie in a file.
func randomNetwork(b *testing.B) *network {
	dir := b.TempDir()
	config := fmt.Sprintf(`{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
		"num_hidden_layers": %d, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": %d, "tie_word_embeddings": true,
		"max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0}`, *benchLayers, *benchWords)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
		b.Fatal(err)
	}
	class, decoder, err := models.Describe(dir)
	if err != nil {
		b.Fatal(err)
	}
	a, err := NewArtifact(class, decoder, Export{Types: models.Types{Compute: onnx.Float32, Weights: onnx.Float32, Fused: true}, Rungs: []artifact.Rung{artifact.Stash}})
	if err != nil {
		b.Fatal(err)
	}
	n := &network{model: &models.Model{Architecture: class, Decoder: decoder}, compute: onnx.Float32}
	if n.engine, err = engine.New(a, engine.Options{}); err != nil {
		b.Fatal(err)
	}
	if n.weights, err = n.engine.Load(randomWeights{decoder, rand.New(rand.NewPCG(1, 2))}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { n.weights.Close(); n.engine.Close() })
	return n
}

// randomWeights are normal with a standard deviation of 0.02; norms are 1.
type randomWeights struct {
	models.Decoder
	rng *rand.Rand
}

func (w randomWeights) Tensor(name string) (safetensors.Tensor, error) {
	shape := w.Shapes()[name]
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	values := make([]float32, n)
	for i := range values {
		if values[i] = 1; len(shape) > 1 {
			values[i] = float32(0.02 * w.rng.NormFloat64())
		}
	}
	return safetensors.Tensor{DType: "F32", Shape: shape, Data: unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 4*n)}, nil
}
