package dpo

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// openFused opens a model, as change makes it, with graphs with fused attention, which the CPU has in float32.
func openFused(t testing.TB, dir string, plan engine.Plan, change func(*models.Decoder)) *network {
	t.Helper()
	n := prepareFused(t, dir, engine.Options{Plan: plan}, change)
	if err := n.load(); err != nil {
		t.Fatal(err)
	}
	return n
}

func prepareFused(t testing.TB, dir string, o engine.Options, change func(*models.Decoder)) *network {
	t.Helper()
	m, err := models.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&m.Decoder)
	}
	a, err := NewArtifact(m.Architecture, m.Decoder, Export{Types: models.Types{Compute: onnx.Float32, Weights: onnx.Float32, Fused: true}, Rungs: artifact.Rungs})
	if err != nil {
		t.Fatal(err)
	}
	return prepared(t, m, a, o)
}

// manyAnswers are groups of so many answers whose prompts, one of them empty, and answers have many lengths.
func manyAnswers(vocab, answers int) (groups []datasets.Example) {
	for g, prompt := range []int{12, 40, 1, 0} {
		x := randomGroups(1, vocab, prompt, 1)[0]
		x.Completions = nil
		for k := range answers {
			x.Completions = append(x.Completions, randomGroups(1, vocab, g, []int{9, 60, 1, 17}[(g+k)%4])[0].Completions[0])
		}
		groups = append(groups, x)
	}
	return groups
}

// fusedEqualsParted holds the two ways to attend against each other, token by token.
func fusedEqualsParted(t *testing.T, n *network) {
	t.Helper()
	for _, K := range []int{1, 2, 4} {
		groups := manyAnswers(n.model.Vocab, K)
		score := func(b *engine.Batch) []float64 {
			pass, err := n.engine.Score(n.weights, b)
			if err != nil {
				t.Fatal(err)
			}
			return pass.TokenLogProbs
		}
		b := n.scoring(groups)
		if (b.Fused != nil) != n.fused {
			t.Fatalf("%d answers: fused %v, the graphs are there: %v", K, b.Fused != nil, n.fused)
		}
		got, want := score(b), score(newBatch(n.model.Decoder, n.compute, groups, 1))
		for i := range want {
			if d := math.Abs(got[i] - want[i]); !(d <= 1e-5*math.Abs(want[i])) {
				t.Errorf("%d answers, token %d: %v, in two parts %v", K, i, got[i], want[i])
			}
		}
	}
}

// Fused attention gives what attention in two parts does: with the heads of each architecture, and of each adapter.
func TestFusedEqualsParted(t *testing.T) {
	for name, dir := range folders(t) {
		t.Run(name, func(t *testing.T) {
			n := openFused(t, dir, engine.Plan{}, nil)
			if want := n.model.HeadDim%8 == 0; n.fused != want {
				t.Fatalf("heads of %d: fused %v", n.model.HeadDim, n.fused)
			}
			fusedEqualsParted(t, n)
		})
	}
}

// And in each way in which an architecture's scores may differ.
func TestFusedScores(t *testing.T) {
	for name, change := range map[string]func(*models.Decoder){
		"cap":      func(d *models.Decoder) { d.ScoreCap = 0.5 },
		"scale":    func(d *models.Decoder) { d.QueryScale = 0.9 },
		"window 1": local(1), "window 2": local(2), "window 13": local(13), "window 40": local(40), "window 500": local(500),
		"one local layer, cap": func(d *models.Decoder) { d.Local, d.Window, d.ScoreCap = []bool{false, true}, 6, 0.5 },
	} {
		t.Run(name, func(t *testing.T) {
			fusedEqualsParted(t, openFused(t, golden.Testdata(t, "models", "tiny-llama"), engine.Plan{}, change))
		})
	}
}

func local(window int) func(*models.Decoder) {
	return func(d *models.Decoder) { d.Local, d.Window = slices.Repeat([]bool{true}, d.Layers), window }
}

// Layers that keep nothing run forward by the fused graph, in training as in the rehearsal of it, to the same bits; their gradients are
// those of attention in two parts.
func TestFusedTraining(t *testing.T) {
	plan := engine.Plan{Recompute: 1}
	n := openFused(t, golden.Testdata(t, "models", "tiny-llama"), plan, nil)
	groups, weights := mixedGroups(n.model.Vocab)
	logps, grads := gradients(t, n, groups, weights)
	pass, err := n.engine.Rehearse(n.weights, n.batch(groups))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(pass.LogProbs, logps) {
		t.Errorf("rehearsed %v, then %v", pass.LogProbs, logps)
	}
	otherLogps, others := gradients(t, openTest(t, n.model.Dir, onnx.Float32, engine.Options{Plan: plan}), groups, weights)
	sameResults(t, logps, otherLogps, grads, others)
	if slices.Equal(logps, otherLogps) {
		t.Error("the fused graph gave the other one's bits: did it run?")
	}
}

// A plan counts what fused attention reads, beside what the backward pass does, and that its graph takes less inside a Run, all of which
// a GPU's sessions keep.
func TestPlansCountFused(t *testing.T) {
	plan := engine.Uniform(artifact.Recompute, 99)
	n := prepareFused(t, golden.Testdata(t, "models", "tiny-llama"), engine.Options{Device: ort.Device{Kind: ort.CUDA}, Plan: plan}, nil)
	shape := shapeOf(randomGroups(4, n.model.Vocab, 300, 200), n.long)
	need := func(fused bool) engine.Need {
		of, err := n.engine.Need(shape.batch(fused), plan, false)
		if err != nil {
			t.Fatal(err)
		}
		return of
	}
	fused, parted := need(n.fused), need(false)
	N, S, T := shape.G*shape.K, shape.P+shape.C, shape.T
	read := int64(0)
	for _, bytes := range []int{8 * N * S, 8 * T, 4 * N} {
		read += int64(bytes+4095) / 4096 * 4096
	}
	if got := fused.Kept - parted.Kept; got != read {
		t.Errorf("%d bytes more are kept, its inputs are %d", got, read)
	}
	if fused.Scratch >= parted.Scratch {
		t.Errorf("%d bytes inside Runs, in two parts %d", fused.Scratch, parted.Scratch)
	}
}

// What is scored alone brings no masks.
func TestScoringBringsNoMasks(t *testing.T) {
	n := openFused(t, golden.Testdata(t, "models", "tiny-llama"), engine.Plan{}, nil)
	groups, _ := mixedGroups(n.model.Vocab)
	for name := range n.scoring(groups).Inputs {
		if !slices.Contains([]string{"ids", "rows", "cos", "sin", "sequence_rows", "sequence_slots", "sequence_ends"}, name) {
			t.Errorf("input %s", name)
		}
	}
}

// Each place of a whole sequence has its token's row, each row a place that has it, and all queries keys up to the last place.
func TestWholeSequences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groups := drawGroups(t)
		l := newLayout(toy, onnx.Float32, groups, 1)
		b := l.batch()
		l.whole(b)
		S, rows, slots := b.Sizes["S"], int64s(b.Inputs["sequence_rows"]), int64s(b.Inputs["sequence_slots"])
		if S%bucket != 0 || int64(len(rows)) != b.Sizes["N"]*S {
			t.Fatalf("%d places of %d sequences, of %d each", len(rows), b.Sizes["N"], S)
		}
		for row, slot := range slots {
			if rows[slot] != int64(row) {
				t.Fatalf("row %d is at place %d, which has row %d", row, slot, rows[slot])
			}
		}
		for n, end := range b.Inputs["sequence_ends"].Data {
			if want := []byte{byte(S - 1), byte((S - 1) >> 8), 0, 0}[n%4]; end != want {
				t.Fatalf("byte %d of the last places is %d, not %d", n, end, want)
			}
		}
		n := int64(0)
		for _, x := range groups {
			for _, c := range x.Completions {
				tokens := slices.Concat(x.Prompt, c.IDs)
				for i, id := range tokens[:len(tokens)-1] {
					if row := rows[n*S+int64(i)]; l.ids[row] != int64(id) || l.positions[row] != int64(i) {
						t.Fatalf("sequence %d, place %d: token %d at position %d", n, i, l.ids[row], l.positions[row])
					}
				}
				n++
			}
		}
	})
}

// A prompt is not computed again and again where that takes longer than to read and write scores.
func TestWhereFusedIsWorthIt(t *testing.T) {
	for _, c := range []struct {
		shape microShape
		want  bool
	}{
		{microShape{G: 16, K: 2, P: 512, C: 256, blocks: 1}, true},
		{microShape{G: 4, K: 4, P: 2048, C: 256, blocks: 4}, true},
		{microShape{G: 1, K: 64, P: 2048, C: 32, blocks: 1}, false},
	} {
		if got := c.shape.fused(); got != c.want {
			t.Errorf("%+v: %v", c.shape, got)
		}
	}
}

// Half precision on a GPU is where the graphs are; elsewhere equal weights give equal bits in all passes.
func TestDevicesThatFuse(t *testing.T) {
	for _, d := range []ort.Device{{Kind: ort.CPU}, {Kind: ort.CUDA}, guarded} {
		for _, compute := range []onnx.DType{onnx.Float32, onnx.BFloat16, onnx.Float16, onnx.Float64} {
			if got, want := fuses(d, compute), d.Kind != ort.CPU && compute.Size() == 2; got != want {
				t.Errorf("%s, %s: %v", d, compute, got)
			}
		}
	}
	n := openTest(t, golden.Testdata(t, "models", "tiny-llama"), onnx.Float32, engine.Options{})
	if n.fused {
		t.Error("the CPU has fused graphs")
	}
}

// BenchmarkFused scores a micro-batch of pairs by a model of the 135M shape, with attention in two parts, then fused.
func BenchmarkFused(b *testing.B) {
	n := randomNetwork(b)
	n.fused, n.long = true, longRows
	for _, lengths := range [][2]int{{128, 128}, {512, 256}} {
		groups := randomGroups(4, n.model.Vocab, lengths[0], lengths[1])
		for name, batch := range map[string]*engine.Batch{
			"parted": newBatch(n.model.Decoder, n.compute, groups, shapeOf(groups, n.long).blocks), "fused": n.scoring(groups)} {
			b.Run(fmt.Sprintf("%d+%d/%s", lengths[0], lengths[1], name), func(b *testing.B) {
				for b.Loop() {
					if _, err := n.engine.Score(n.weights, batch); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
