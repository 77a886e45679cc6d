package dpo

import (
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Graphs of plain operators are told, beside what the others are: where the keys of each token go, and which keys each sees.

// plainPrompts adds it of whole prompts, which begin their caches and see none of another's.
func (in decodeInputs) plainPrompts(b *engine.Batch, d models.Decoder) {
	b.Inputs["slots"] = in.slots(d, func(int) int64 { return 0 })
	for _, kind := range d.Kinds() {
		m := newMask(onnx.Float32, int(in.S), int(in.S))
		for query := range int(in.S) {
			m.row(keySpan{firstSeen(query, kind.Window), query + 1})
		}
		b.Inputs[kind.PromptMask] = m.array(int(in.S), m.width)
	}
}

// plainSteps adds it of the next token of each sequence.
func (in decodeInputs) plainSteps(b *engine.Batch, d models.Decoder) {
	b.Inputs["slots"] = in.slots(d, func(row int) int64 { return int64(in.last[row]) })
	for _, kind := range d.Kinds() {
		m := newMask(onnx.Float32, int(b.Sizes["M"]), len(in.last))
		for _, last := range in.last {
			m.row(keySpan{firstSeen(int(last), kind.Window), int(last) + 1})
		}
		b.Inputs[kind.CompletionMask] = m.array(len(in.last), m.width)
	}
}

// slots are the places [B,KV,S,3] in the cache of S tokens of each row, of which first says where they begin.
func (in decodeInputs) slots(d models.Decoder, first func(row int) int64) engine.Array {
	var at []int64
	for row := range in.last {
		for head := range int64(d.KVHeads) {
			for s := range in.S {
				at = append(at, int64(row), head, first(row)+s)
			}
		}
	}
	return engine.Int64s(at, int64(len(in.last)), int64(d.KVHeads), in.S, 3)
}
