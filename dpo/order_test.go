package dpo

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// drawExample makes a group of token ids below vocab with K completions; rarely its prompt is empty.
func drawExample(t *rapid.T, completions, vocab int) datasets.Example {
	id := rapid.Int32Range(0, int32(vocab-1))
	x := datasets.Example{Prompt: rapid.SliceOfN(id, 0, 40).Draw(t, "prompt")}
	for range completions {
		c := datasets.Completion{IDs: rapid.SliceOfN(id, 2, 30).Draw(t, "completion")}
		c.Start = rapid.IntRange(0, 1).Draw(t, "start")
		x.Completions = append(x.Completions, c)
	}
	return x
}

func drawExamples(t *rapid.T, vocab int) []datasets.Example {
	n := rapid.IntRange(1, 20).Draw(t, "groups")
	var all []datasets.Example
	for range n {
		all = append(all, drawExample(t, rapid.IntRange(2, 4).Draw(t, "K"), vocab))
	}
	return all
}

func TestOrderTakesEachRowOnceAnEpoch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &order{rows: rapid.IntRange(1, 50).Draw(t, "rows"), batch: rapid.IntRange(1, 20).Draw(t, "batch"),
			seed: rapid.Int64().Draw(t, "seed"), shuffle: rapid.Bool().Draw(t, "shuffle")}
		epoch := rapid.IntRange(0, 3).Draw(t, "epoch")
		var seen []int
		for i := range o.stepsPerEpoch() {
			seen = append(seen, o.step(epoch*o.stepsPerEpoch()+i)...)
		}
		slices.Sort(seen)
		for i, row := range seen {
			if row != i || len(seen) != o.rows {
				t.Fatalf("an epoch of %d rows takes %v", o.rows, seen)
			}
		}
	})
}

func TestOrderIsAFunctionOfSeedEpochAndStep(t *testing.T) {
	fresh := func(seed int64, step int) []int {
		return (&order{rows: 100, batch: 10, seed: seed, shuffle: true}).step(step)
	}
	running := &order{rows: 100, batch: 10, seed: 7, shuffle: true}
	for step := range 30 {
		if got := running.step(step); !slices.Equal(got, fresh(7, step)) {
			t.Fatalf("step %d takes %v after others and %v by itself", step, got, fresh(7, step))
		}
	}
	if slices.Equal(fresh(7, 3), fresh(8, 3)) || slices.Equal(fresh(7, 3), fresh(7, 13)) {
		t.Error("another seed or epoch has the same order")
	}
}

func TestMicroBatchesCutAStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		examples := drawExamples(t, 50)
		rows := make([]int, len(examples))
		for i := range rows {
			rows[i] = i
		}
		limit, budget := rapid.IntRange(0, 5).Draw(t, "limit"), rapid.IntRange(1, 1000).Draw(t, "budget")
		var seen []int
		for _, micro := range microBatches(examples, rows, limit, budget) {
			K, P, C := 0, 0, 0
			for _, row := range micro {
				k, p, c := extent(examples[row])
				if K != 0 && k != K {
					t.Fatalf("groups of %d and %d completions in one micro-batch", K, k)
				}
				K, P, C = k, max(P, p), max(C, c)
			}
			if padded := len(micro) * padded(K, P, C); len(micro) > 1 && padded > budget {
				t.Fatalf("a micro-batch of %d padded tokens under a budget of %d", padded, budget)
			}
			if limit > 0 && len(micro) > limit {
				t.Fatalf("%d groups where %d are allowed", len(micro), limit)
			}
			seen = append(seen, micro...)
		}
		slices.Sort(seen)
		if !slices.Equal(seen, rows) {
			t.Fatalf("micro-batches hold rows %v of %d", seen, len(rows))
		}
	})
}
