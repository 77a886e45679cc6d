package dpo

import (
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/models/exported"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// newSequences lays groups of one K out for a model that takes sequences: each prompt again with each of its completions, [N,S], padded on
// the right, but not beyond the positions that the model knows (0: all). A completion's last token is scored, but nothing follows that
// would need its own place.
func newSequences(groups []datasets.Example, positions int) *engine.Batch {
	N, S, K := 0, 0, len(groups[0].Completions)
	for _, x := range groups {
		N += K
		S = max(S, longest(x)-1)
	}
	if S = roundUp(S, 1); positions > 0 {
		S = min(S, positions)
	}
	ids, seen, places := make([]int64, N*S), make([]int64, N*S), make([]int64, N*S)
	b := &engine.Batch{}
	var rows []int64
	for g, x := range groups {
		for k, c := range x.Completions {
			n := g*K + k
			tokens := append(slices.Clip(x.Prompt), c.IDs...)
			for i, id := range tokens {
				if i > 0 && c.Scores(i-len(x.Prompt)) {
					rows = append(rows, int64(n*S+i-1))
					b.Targets, b.Sequence = append(b.Targets, int64(id)), append(b.Sequence, int64(n))
				}
				if i < len(tokens)-1 {
					ids[n*S+i], seen[n*S+i] = int64(id), 1
				}
			}
			for i := range S {
				places[n*S+i] = int64(i)
			}
		}
	}
	R := int64(len(rows))
	shape := []int64{int64(N), int64(S)}
	b.Sizes = map[string]int64{"G": int64(len(groups)), "K": int64(K), "N": int64(N), "S": int64(S), "T": int64(N * S), "R": R}
	b.Inputs = map[string]engine.Array{exported.IDs: engine.Int64s(ids, shape...), exported.Mask: engine.Int64s(seen, shape...),
		exported.Positions: engine.Int64s(places, shape...), exported.Rows: engine.Int64s(rows, R)}
	return b
}

// NotExported refuses a model that was exported to ONNX, and says what can be done instead.
func NotExported(path, instead string) error {
	if exported.IsFile(path) {
		return Usage("model %s was exported to ONNX: %s", path, instead)
	}
	return nil
}
