package dpo

import (
	"math/rand/v2"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// order says which groups each step takes: a pure function of (seed, epoch, step), so that a run can go on anywhere.
type order struct {
	rows, batch int
	seed        int64
	shuffle     bool
	epoch       int   // of perm
	perm        []int // the rows of an epoch in their order, where they are shuffled
}

// stepsPerEpoch counts the last, shorter batch.
func (o *order) stepsPerEpoch() int { return (o.rows + o.batch - 1) / o.batch }

// step lists the rows of a step, from 0.
func (o *order) step(i int) []int {
	epoch, first := i/o.stepsPerEpoch(), i%o.stepsPerEpoch()*o.batch
	last := min(first+o.batch, o.rows)
	if !o.shuffle {
		return sequence(first, last)
	}
	if o.perm == nil || o.epoch != epoch {
		o.epoch, o.perm = epoch, rand.New(rand.NewPCG(uint64(o.seed), uint64(epoch))).Perm(o.rows)
	}
	return o.perm[first:last]
}

// sequence counts from first to last−1.
func sequence(first, last int) []int {
	out := make([]int, last-first)
	for i := range out {
		out[i] = first + i
	}
	return out
}

// microBatches cuts the rows of a step into groups of one K and near lengths, at most limit of them (0: any number),
// whose padded tokens stay within the budget. A row that alone exceeds it stands alone.
func microBatches(examples []datasets.Example, rows []int, limit, budget int) [][]int {
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b int) int {
		ka, pa, ca := extent(examples[a])
		kb, pb, cb := extent(examples[b])
		if ka != kb {
			return ka - kb
		}
		if d := pa + ka*ca - (pb + kb*cb); d != 0 {
			return d
		}
		return a - b
	})
	var out [][]int
	var P, C int
	for _, row := range sorted {
		k, p, c := extent(examples[row])
		last := len(out) - 1
		if last >= 0 {
			if first, _, _ := extent(examples[out[last][0]]); first == k {
				n := len(out[last]) + 1
				if (limit == 0 || n <= limit) && n*padded(k, max(P, p), max(C, c)) <= budget {
					out[last] = append(out[last], row)
					P, C = max(P, p), max(C, c)
					continue
				}
			}
		}
		out = append(out, []int{row})
		P, C = p, c
	}
	return out
}

// padded is how many slots a group of k completions takes in a micro-batch whose longest are these.
func padded(k, prompt, completion int) int {
	blocks := blocksOf(prompt, completion, longRows)
	return roundUp(prompt, blocks) + k*roundUp(completion, blocks)
}

// extent is a group's number of completions, its prompt's length and its longest completion's.
func extent(x datasets.Example) (k, prompt, completion int) {
	for _, c := range x.Completions {
		completion = max(completion, len(c.IDs)-1)
	}
	return len(x.Completions), len(x.Prompt), completion
}
