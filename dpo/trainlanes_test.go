package dpo

import (
	"bytes"
	"math"
	"path/filepath"
	"testing"
)

// Gradients added up in lanes give the same bits whatever computes the lanes, and the numbers of one micro-batch after the other.
func TestLanesGiveTheSameBits(t *testing.T) {
	plain := tinyConfig(t)
	plain.MicroBatch, plain.EvalData = 1, []string{writePairs(t, 5)}
	want := mustTrain(t, plain)
	var first []byte
	for _, threads := range []int{1, 2, 5} {
		c := plain
		c.Out, c.Threads = filepath.Join(t.TempDir(), "out"), threads
		c.Planned = &MemoryPlan{MicroTokens: easyMicroTokens, Lanes: 3}
		for i, m := range mustTrain(t, c)[:3] { // afterwards the roundings of each step's sums grow
			if math.Abs(m.Loss-want[i].Loss) > 1e-6*m.Loss || math.Abs(m.GradNorm-want[i].GradNorm) > 1e-5*m.GradNorm {
				t.Errorf("step %d: loss %v, without lanes %v; norm %v and %v", i+1, m.Loss, want[i].Loss, m.GradNorm, want[i].GradNorm)
			}
		}
		weights := readBytes(t, filepath.Join(c.Out, "model.safetensors"))
		if first == nil {
			first = weights
		}
		if !bytes.Equal(first, weights) {
			t.Errorf("%d threads give other weights than one", threads)
		}
	}
}

// Lanes are planned where steps have several micro-batches and there is memory for a gradient each.
func TestLanesArePlannedWhereTheyServe(t *testing.T) {
	c := tinyConfig(t)
	c.Batch, c.NoShuffle = 64, true
	c.Data = []string{writePairs(t, 64)}
	planned := func(memory string) int {
		c.Memory = memory
		tr, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		if n := max(tr.memoryPlan.Lanes, 1); len(tr.grads) != n || len(tr.engines) > n {
			t.Errorf("%d lanes have %d gradients and %d engines", n, len(tr.grads), len(tr.engines))
		}
		return tr.memoryPlan.Lanes
	}
	if n := planned("4GiB"); n != 8 {
		t.Errorf("with memory to spare %d lanes are planned, want 8", n)
	}
	c.Batch = 1
	if n := planned("4GiB"); n != 0 {
		t.Errorf("for one micro-batch a step %d lanes are planned", n)
	}
}
