package dpo

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// The bars for results that differ by the order of float32 sums alone.
const (
	relativeBar = 1e-6 // of a tensor's norm, times what follows
	natsBar     = 1e-3 // a sequence
)

// sameResults holds log-probabilities and gradients against each other.
func sameResults(t *testing.T, logps, otherLogps []float64, grads, others map[string][]float64) {
	t.Helper()
	for i := range logps {
		if d := math.Abs(logps[i] - otherLogps[i]); d > natsBar || d > relativeBar*math.Abs(logps[i])+1e-5 {
			t.Errorf("log-probability %d: %v and %v", i, logps[i], otherLogps[i])
		}
	}
	whole := 0.0
	for _, g := range grads {
		whole += square(g)
	}
	for name, g := range grads {
		if d := distance(g, others[name]); d > relativeBar*math.Sqrt(whole) {
			t.Errorf("gradient of %s: %.2e of the whole gradient apart", name, d/math.Sqrt(whole))
		}
	}
}

// mixedGroups are pairs of mixed lengths, with weights for their log-probabilities.
func mixedGroups(vocab int) ([]datasets.Example, []float64) {
	rng := rand.New(rand.NewPCG(3, 4))
	var groups []datasets.Example
	var weights []float64
	for _, shape := range [][3]int{{12, 9, 30}, {40, 20, 3}, {1, 5, 5}, {0, 8, 17}} {
		one := randomGroups(1, vocab, shape[0], shape[1])[0]
		one.Completions[1].IDs = randomGroups(1, vocab, 1, shape[2])[0].Completions[1].IDs
		groups = append(groups, one)
		weights = append(weights, rng.NormFloat64(), rng.NormFloat64())
	}
	return groups, weights
}

func TestSharedEqualsSeparate(t *testing.T) {
	for _, model := range append([]string{"tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-qwen3"}, architectureModels...) {
		t.Run(model, func(t *testing.T) { sharedEqualsSeparate(t, model) })
	}
}

func sharedEqualsSeparate(t *testing.T, model string) {
	n := openTest(t, golden.Testdata(t, "models", model), onnx.Float32, engine.Options{})
	groups, weights := mixedGroups(n.model.Vocab)
	logps, grads := gradients(t, n, groups, weights)
	var apart []float64
	sum := map[string][]float64{}
	for g, x := range groups {
		for k, c := range x.Completions {
			alone := datasets.Example{Prompt: x.Prompt, Completions: []datasets.Completion{c}}
			l, d := gradients(t, n, []datasets.Example{alone}, weights[2*g+k:2*g+k+1])
			apart = append(apart, l...)
			for name, values := range d {
				if sum[name] == nil {
					sum[name] = make([]float64, len(values))
				}
				for i, v := range values {
					sum[name][i] += v
				}
			}
		}
	}
	sameResults(t, logps, apart, grads, sum)
}

func TestChunkedHeadEqualsWhole(t *testing.T) {
	dir := golden.Testdata(t, "models", "tiny-llama")
	whole, chunked := openTest(t, dir, onnx.Float32, engine.Options{}), openTest(t, dir, onnx.Float32, engine.Options{Plan: engine.Plan{HeadColumns: 37}})
	groups, weights := mixedGroups(whole.model.Vocab)
	logps, grads := gradients(t, whole, groups, weights)
	otherLogps, others := gradients(t, chunked, groups, weights)
	sameResults(t, logps, otherLogps, grads, others)
}

func TestStashEqualsRecompute(t *testing.T) {
	dir := golden.Testdata(t, "models", "tiny-llama")
	stash := openTest(t, dir, onnx.Float32, engine.Options{})
	groups, weights := mixedGroups(stash.model.Vocab)
	logps, grads := gradients(t, stash, groups, weights)
	for _, rung := range []artifact.Rung{artifact.Probs, artifact.Recompute} {
		n := openTest(t, dir, onnx.Float32, engine.Options{Plan: engine.Uniform(rung, 99)})
		otherLogps, others := gradients(t, n, groups, weights)
		sameResults(t, logps, otherLogps, grads, others)
	}
}

// No graph scatters by ScatterND, which loses duplicates on the CPU, and the rung probs keeps no attention
// probabilities.
func TestGraphsKeepTheRules(t *testing.T) {
	m := openTest(t, golden.Testdata(t, "models", "tiny-qwen2"), onnx.Float32, engine.Options{})
	for _, graph := range []string{"block.probs", "block.local.probs"} {
		if m.engine.Artifact().Graphs[graph] == nil {
			t.Errorf("graph %s is missing", graph)
		}
	}
	for name, g := range m.engine.Artifact().Graphs {
		for _, n := range g.Nodes {
			if n.Op == "ScatterND" {
				t.Errorf("graph %s holds ScatterND (node %s)", name, n.Name)
			}
		}
		for _, out := range g.Outputs {
			if n := out.Node; n != nil && n.Op == "Softmax" && strings.HasSuffix(name, ".probs") {
				t.Errorf("graph %s keeps the probabilities %s%s", name, out.Name, out.Shape)
			}
		}
	}
}

// The same bits on any number of threads, and in every run.
func TestThreadsGiveTheSameBits(t *testing.T) {
	dir := golden.Testdata(t, "models", "tiny-llama")
	var first map[string][]float64
	for _, threads := range []int{1, 2, 4, 2} {
		n := openTest(t, dir, onnx.Float32, engine.Options{Threads: threads})
		groups, weights := mixedGroups(n.model.Vocab)
		_, grads := gradients(t, n, groups, weights)
		if first == nil {
			first = grads
			continue
		}
		for name, g := range grads {
			for i := range g {
				if g[i] != first[name][i] {
					t.Fatalf("%d threads: element %d of the gradient of %s is %v, with one thread %v", threads, i, name, g[i], first[name][i])
				}
			}
		}
	}
}

// Queries in blocks give what whole rows do, with and without a window, on every rung.
func TestBlocksOfQueriesEqualWholeRows(t *testing.T) {
	for _, model := range []string{"tiny-llama", "tiny-qwen2"} {
		for _, rung := range artifact.Rungs {
			n := openTest(t, golden.Testdata(t, "models", model), onnx.Float32, engine.Options{Plan: engine.Uniform(rung, 99)})
			groups, weights := mixedGroups(n.model.Vocab)
			results := func(blocks int) ([]float64, map[string][]float64) {
				grads, err := n.engine.NewGradients()
				if err != nil {
					t.Fatal(err)
				}
				defer grads.Close()
				return accumulateBatch(t, n, grads, newBatch(n.model.Decoder, n.compute, groups, blocks), weights), values(t, n, grads)
			}
			logps, grads := results(1)
			otherLogps, others := results(models.Blocks)
			sameResults(t, logps, otherLogps, grads, others)
		}
	}
}
