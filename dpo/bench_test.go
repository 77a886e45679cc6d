package dpo

import (
	"math/rand/v2"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// randomGroups makes pairs of those lengths.
func randomGroups(n, vocab, prompt, completion int) []datasets.Example {
	rng := rand.New(rand.NewPCG(1, 2))
	ids := func(n int) []int32 {
		out := make([]int32, n)
		for i := range out {
			out[i] = int32(rng.IntN(vocab))
		}
		return out
	}
	var out []datasets.Example
	for range n {
		out = append(out, datasets.Example{Prompt: ids(prompt),
			Completions: []datasets.Completion{{IDs: ids(completion)}, {IDs: ids(completion)}}})
	}
	return out
}

// BenchmarkPass runs a micro-batch of eight pairs of 128+128 tokens forward and backward.
func BenchmarkPass(b *testing.B) {
	for _, rung := range artifact.Rungs {
		b.Run(string(rung), func(b *testing.B) {
			n := openTest(b, golden.Shared(b, "models/stories260K-hf"), onnx.Float32, engine.Options{Plan: engine.Uniform(rung, 99)})
			grads, err := n.engine.NewGradients()
			if err != nil {
				b.Fatal(err)
			}
			defer grads.Close()
			batch := n.batch(randomGroups(8, n.model.Vocab, 128, 128))
			for b.Loop() {
				grads.Clear()
				pass, err := n.engine.Forward(n.weights, batch)
				if err != nil {
					b.Fatal(err)
				}
				if err := pass.Backward(grads, make([]float64, batch.Sizes["N"])); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(batch.Sizes["T"])*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
