package models

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// Graphs that continue sequences by plain operators, which have kernels everywhere: attention with a cache in one operator has one of
// float32 on the CPU alone. They run in the same places and fill the same cache, whose heads are not padded; where the operator
// counts, they are told: slots says where keys go, and a mask, 0 or −1e9, what is seen. Prompts have the kind's PromptMask [S,S],
// steps its CompletionMask [B,M].

// plainPrompt attends from tokens to those of their own prompt: [B,S,·] → [B,S,KV,H/KV,d].
func (c *cache) plainPrompt() attention {
	S, group := onnx.Sym("S"), c.heads/c.kvHeads
	extend := c.scattered(S)
	mask := c.Input(c.kind.PromptMask, c.types.Compute, S, S)
	return func(q, k, v *onnx.Value) *onnx.Value {
		k = c.transpose(c.reshape(k, 0, 0, c.kvHeads, c.headDim), 0, 2, 1, 3)
		v = c.transpose(c.reshape(v, 0, 0, c.kvHeads, c.headDim), 0, 2, 1, 3)
		extend(k, v)
		q = c.reshape(c.transpose(c.reshape(q, 0, 0, c.kvHeads, group, c.headDim), 0, 2, 3, 1, 4), 0, 0, -1, c.headDim)
		o := c.attendAll(q, k, v, func(scores *onnx.Value) *onnx.Value { // as a vector, which a GPU adds fast
			sum := c.add(c.reshape(scores, 0, 0, group, -1), c.reshape(mask, -1))
			return c.Op("Reshape", c.of(sum, c.Op("Shape", c.of(scores), nil)), nil)
		})
		return c.transpose(c.reshape(o, 0, 0, group, -1, c.headDim), 0, 3, 1, 2, 4)
	}
}

// plainStep attends from one token of each sequence, [B,·], to all of the cache that its mask shows.
func (c *cache) plainStep() attention {
	extend := c.scattered(onnx.Const(1))
	mask := c.Input(c.kind.CompletionMask, c.types.Compute, onnx.Sym("B"), onnx.Sym("M"))
	return func(q, k, v *onnx.Value) *onnx.Value {
		k, v = extend(c.reshape(k, 0, c.kvHeads, 1, c.headDim), c.reshape(v, 0, c.kvHeads, 1, c.headDim))
		o := c.attendAll(c.reshape(q, 0, c.kvHeads, -1, c.headDim), k, v, func(scores *onnx.Value) *onnx.Value {
			return c.add(scores, c.Op("Unsqueeze", c.of(mask, c.Ints(1, 2)), nil))
		})
		return c.reshape(o, 0, c.heads*c.headDim)
	}
}

// scattered declares the cache and where the keys of so many tokens go, and gives what puts them there, in place, and their values,
// [B,KV,S,d]: the whole is [B,KV,M,d].
func (c *cache) scattered(tokens onnx.Dim) (extend func(k, v *onnx.Value) (keys, values *onnx.Value)) {
	p := c.past(c.headDim)
	slots := c.Input("slots", onnx.Int64, onnx.Sym("B"), onnx.Const(c.kvHeads), tokens, onnx.Const(3))
	return func(k, v *onnx.Value) (keys, values *onnx.Value) {
		keys, values = c.Op("ScatterND", c.of(p.keys, slots, k), nil), c.Op("ScatterND", c.of(p.values, slots, v), nil)
		c.present(keys, values)
		return keys, values
	}
}

// attendAll is softmax(masked(scale·q·kᵀ))·v, the queries of a key head in rows: [B,KV,·,d].
func (c *cache) attendAll(q, k, v *onnx.Value, masked func(*onnx.Value) *onnx.Value) *onnx.Value {
	scores := masked(c.capped(c.product(q, k, true, c.scale), c.cap))
	return c.product(c.Op("Softmax", c.of(scores), onnx.Attrs{"axis": -1}), v, false, 1)
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
