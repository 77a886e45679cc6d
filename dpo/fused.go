package dpo

import (
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// fuses reports whether graphs with fused attention (models.Fused) are worth having on a device. A GPU has the kernel in half precision
// alone. On the CPU they take longer, and equal weights would no longer give equal bits in scoring and in training.
func fuses(d ort.Device, compute onnx.DType) bool { return !d.OnHost() && compute.Size() == 2 }

// mostRepeated bounds how much more fused attention may compute than attention in two parts, which has each prompt but once. The fused
// one keeps its scores on the chip, and a GPU computes a pair of query and key about four times in the time in which it writes and
// reads scores of one.
const mostRepeated = 4

// fused reports whether fused attention is worth it: it computes half the pairs of whole sequences.
func (s microShape) fused() bool {
	whole := s.G * s.K * (s.P + s.C) * (s.P + s.C) / 2
	return whole <= mostRepeated*s.pairs()
}

// whole adds what fused attention reads: where the tokens of whole sequences [N,S] lie, each completion's behind its prompt's.
func (l *layout) whole(b *engine.Batch) {
	N, S := len(l.groups)*l.K, 0
	for _, x := range l.groups {
		S = max(S, longest(x)-1)
	}
	S = roundUp(S, 1)
	rows, slots, ends := make([]int64, N*S), make([]int64, len(l.ids)), make([]int32, N)
	for g, x := range l.groups {
		for k, c := range x.Completions {
			n := g*l.K + k
			at := n * S
			add := func(packed []int64) {
				for _, row := range packed {
					rows[at], slots[row] = row, int64(at)
					at++
				}
			}
			add(l.promptRows[g*l.P:][:len(x.Prompt)])
			add(l.completionRows[n*l.C:][:len(c.IDs)-1])
			ends[n] = int32(S - 1) // the padding's: what follows a query changes nothing, and all rows alike spare a mask
		}
	}
	b.Fused, b.Sizes["S"] = models.Fused, int64(S)
	b.Inputs["sequence_rows"] = engine.Int64s(rows, int64(N), int64(S))
	b.Inputs["sequence_slots"] = engine.Int64s(slots, int64(len(slots)))
	b.Inputs["sequence_ends"] = engine.Int32s(ends, int64(N))
}
