package models

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// Graphs that continue sequences by plain operators, which have kernels everywhere: attention with a cache in one operator has one of
// float32 on the CPU alone. They run in the same places and fill the same cache, whose heads are not padded; where the operator
// counts, they are told: slots says where keys go, and a mask, 0 or −1e9, what is seen. Prompts have the kind's PromptMask [S,S],
// steps its CompletionMask [B,M].

// store is a block's cache, and what attends to it.
type store struct {
	*layout
	keys, values *onnx.Value // [B,KV,M,d]
	slots        *onnx.Value // [B,KV,S,3]: where the key of each token goes
}

func (n *net) store(d Decoder, kind LayerKind, rows, tokens onnx.Dim) *store {
	t, B := n.types.Compute, onnx.Sym("B")
	s := &store{layout: n.newLayout(d, kind, rows)}
	past := []onnx.Dim{B, onnx.Const(s.kvHeads), onnx.Sym("M"), onnx.Const(s.headDim)}
	s.keys, s.values = n.Input("past_key", t, past...), n.Input("past_value", t, past...)
	s.slots = n.Input("slots", onnx.Int64, B, onnx.Const(s.kvHeads), tokens, onnx.Const(3))
	return s
}

// put extends the cache in place by keys, and by values, [B,KV,S,d]: the whole is [B,KV,M,d].
func (n *net) put(s *store, k, v *onnx.Value) (keys, values *onnx.Value) {
	keys = n.Op("ScatterND", n.of(s.keys, s.slots, k), nil)
	values = n.Op("ScatterND", n.of(s.values, s.slots, v), nil)
	n.Output("present_key", keys)
	n.Output("present_value", values)
	return keys, values
}

// writtenPrompt is prompt without the operator: tokens attend to those of their own prompt.
func (d Decoder) writtenPrompt(n *net, kind LayerKind) {
	B, S := onnx.Sym("B"), onnx.Sym("S")
	x := n.Input("x", n.types.Compute, B.Mul(S), onnx.Const(int64(d.Hidden)))
	sequences := n.Input("sequences", onnx.Int64, onnx.Const(3))
	sequences.Elems = []onnx.Dim{B, S, onnx.Const(-1)}
	s := n.store(d, kind, B.Mul(S), S)
	mask := n.Input(kind.PromptMask, n.types.Compute, S, S)
	group := s.heads / s.kvHeads
	apart := func(x *onnx.Value, dims ...int64) *onnx.Value {
		return n.reshape(n.Op("Reshape", n.of(x, sequences), nil), append([]int64{0, 0}, dims...)...)
	}
	n.Output("y", d.layer(n, x, kind, s.layout, func(q, k, v *onnx.Value) *onnx.Value {
		k, v = n.transpose(apart(k, s.kvHeads, s.headDim), 0, 2, 1, 3), n.transpose(apart(v, s.kvHeads, s.headDim), 0, 2, 1, 3)
		n.put(s, k, v)
		q = n.reshape(n.transpose(apart(q, s.kvHeads, group, s.headDim), 0, 2, 3, 1, 4), 0, 0, -1, s.headDim)
		o := n.attendAll(q, k, v, s, func(scores *onnx.Value) *onnx.Value { // as a vector, which a GPU adds fast
			sum := n.add(n.reshape(scores, 0, 0, group, -1), n.reshape(mask, -1))
			return n.Op("Reshape", n.of(sum, n.Op("Shape", n.of(scores), nil)), nil)
		})
		return n.reshape(n.transpose(n.reshape(o, 0, 0, group, -1, s.headDim), 0, 3, 1, 2, 4), -1, s.heads*s.headDim)
	}))
}

// writtenStep is step without the operator: a token attends to all of the cache that its mask shows.
func (d Decoder) writtenStep(n *net, kind LayerKind) {
	n.few = true
	B := onnx.Sym("B")
	x := n.Input("x", n.types.Compute, B, onnx.Const(int64(d.Hidden)))
	s := n.store(d, kind, B, onnx.Const(1))
	mask := n.Input(kind.CompletionMask, n.types.Compute, B, onnx.Sym("M"))
	n.Output("y", d.layer(n, x, kind, s.layout, func(q, k, v *onnx.Value) *onnx.Value {
		k, v = n.put(s, n.reshape(k, 0, s.kvHeads, 1, s.headDim), n.reshape(v, 0, s.kvHeads, 1, s.headDim))
		q = n.reshape(q, 0, s.kvHeads, -1, s.headDim)
		o := n.attendAll(q, k, v, s, func(scores *onnx.Value) *onnx.Value {
			return n.add(scores, n.Op("Unsqueeze", n.of(mask, n.Ints(1, 2)), nil))
		})
		return n.reshape(o, 0, s.heads*s.headDim)
	}))
}

// attendAll is softmax(masked(scale·q·kᵀ))·v, the queries of a key head in rows: [B,KV,·,d].
func (n *net) attendAll(q, k, v *onnx.Value, s *store, masked func(*onnx.Value) *onnx.Value) *onnx.Value {
	scores := masked(n.capped(n.product(q, k, true, s.scale), s.cap))
	return n.product(n.Op("Softmax", n.of(scores), onnx.Attrs{"axis": -1}), v, false, 1)
}

// CopyPositions builds the graph by which rows of a cache take what others hold: of two matrices [·,d], which may be one, n rows from each of
// from_rows [h] on become those from each of to_rows on, in place. positions are 0 to n−1.
func CopyPositions(width int64) (*onnx.Graph, error) {
	return onnx.Build("copy", func(b *onnx.Builder) {
		h, n, d := onnx.Sym("h"), onnx.Sym("n"), onnx.Const(width)
		to, from := b.Input("to", onnx.Float32, onnx.Sym("t"), d), b.Input("from", onnx.Float32, onnx.Sym("f"), d)
		positions := b.Input("positions", onnx.Int64, n)
		rows := func(name string) *onnx.Value { // [h,n]
			first := b.Op("Unsqueeze", []*onnx.Value{b.Input(name, onnx.Int64, h), b.Ints(1)}, nil)
			return b.Op("Add", []*onnx.Value{first, positions}, nil)
		}
		held := b.Op("Gather", []*onnx.Value{from, rows("from_rows")}, nil)
		slots := b.Op("Unsqueeze", []*onnx.Value{rows("to_rows"), b.Ints(2)}, nil)
		b.Output("copied", b.Op("ScatterND", []*onnx.Value{to, slots, held}, nil))
	})
}
