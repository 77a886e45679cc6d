package models

import (
	"cmp"
	"math"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// layout holds a block's inputs that say where tokens lie. Tokens are packed in rows of [T,·]; attention works on
// padded prompts [G,P] and completions [G,K,C], gathered by index. The *_slots inputs invert those gathers (the padded
// slot of each token, or one past the last), which makes their gradient a gather too: padding never writes anywhere.
type layout struct {
	cos, sin                   *onnx.Value // [T,turning/2]; nil where positions turn nothing
	promptRows, completionRows *onnx.Value // [G,P], [G,K,C]: the packed row of each slot
	attentionRows              *onnx.Value // [T]: each token's slot among all prompt, then all completion slots
	// Of each block of queries, [Q·P,P] and [G,Q·C,P+C] where there is one: 0, or far below all scores where a query must not see a key.
	promptMasks, completionMasks []*onnx.Value
	completions                  *onnx.Value // [K,1,1,1,1]: how often a prompt's keys are repeated
	heads, kvHeads, headDim      int64
	turning                      int64 // entries of a head that turn
	interleaved                  bool
	scale, cap                   float64 // of scores
}

// newLayout is what the layouts of micro-batches and caches have in common; rows is how many rows have cosines and sines.
func (n *net) newLayout(d Decoder, kind LayerKind, rows onnx.Dim) *layout {
	l := &layout{heads: int64(d.Heads), kvHeads: int64(d.KVHeads), headDim: int64(d.HeadDim), interleaved: d.Interleaved,
		scale: cmp.Or(d.QueryScale, 1/math.Sqrt(float64(d.HeadDim))), cap: d.ScoreCap}
	if r := d.rotation(kind); r.Rope.Dim > 0 {
		l.turning = int64(r.Rope.Dim)
		half := onnx.Const(l.turning / 2)
		l.cos, l.sin = n.Input(r.Cos, n.types.Compute, rows, half), n.Input(r.Sin, n.types.Compute, rows, half)
	}
	return l
}

func (n *net) layout(d Decoder, kind LayerKind, blocks int) *layout {
	T, G, K, P, C := onnx.Sym("T"), onnx.Sym("G"), onnx.Sym("K"), onnx.Sym("P"), onnx.Sym("C")
	p, c := P, C // of a block of queries
	if blocks > 1 {
		p, c = onnx.Sym("p"), onnx.Sym("c")
		P, C = p.Mul(onnx.Const(int64(blocks))), c.Mul(onnx.Const(int64(blocks)))
	}
	queries := onnx.Const(int64(d.Heads / d.KVHeads))
	slots := G.Mul(P).Add(G.Mul(K).Mul(C))
	t := n.types.Compute
	l := n.newLayout(d, kind, T)
	l.promptRows = n.Input("prompt_rows", onnx.Int64, G, P)
	l.completionRows = n.Input("completion_rows", onnx.Int64, G, K, C)
	l.attentionRows = n.Input("attention_rows", onnx.Int64, T)
	l.completions = n.Input("completions", onnx.Int64, onnx.Const(5))
	one := onnx.Const(1)
	for i, name := range Masks(kind.PromptMask, blocks) {
		l.promptMasks = append(l.promptMasks, n.Input(name, t, queries.Mul(p), p.Mul(onnx.Const(int64(i+1)))))
	}
	for i, name := range Masks(kind.CompletionMask, blocks) {
		l.completionMasks = append(l.completionMasks, n.Input(name, t, G, queries.Mul(c), P.Add(c.Mul(onnx.Const(int64(i+1))))))
	}
	l.completions.Elems = []onnx.Dim{K, one, one, one, one}
	n.Input("prompt_slots", onnx.Int64, T)
	n.Input("completion_slots", onnx.Int64, T)
	n.Input("attention_slots", onnx.Int64, slots)
	return l
}

// gather picks rows of x; inverse names the input that holds, for every row of x, where it went.
func (n *net) gather(x, rows *onnx.Value, inverse string) *onnx.Value {
	return n.Node(&onnx.Node{Op: "Gather", Inputs: n.of(x, rows), Meta: map[string]string{"inverse": inverse}}, 1)[0]
}

func (n *net) reshape(x *onnx.Value, dims ...int64) *onnx.Value {
	return n.Op("Reshape", n.of(x, n.Ints(dims...)), nil)
}

func (n *net) transpose(x *onnx.Value, perm ...int64) *onnx.Value {
	return n.Op("Transpose", n.of(x), onnx.Attrs{"perm": perm})
}

// rotary turns each head of x [T,heads·d] by its token's position, or the first entries of each alone.
func (n *net) rotary(x *onnx.Value, l *layout, heads int) *onnx.Value {
	if l.turning == 0 {
		return x
	}
	if n.types.Compute == onnx.Float64 {
		return n.rotaryWritten(x, l, heads)
	}
	attrs := onnx.Attrs{"num_heads": heads, "rotary_embedding_dim": 0}
	if l.turning < l.headDim {
		attrs["rotary_embedding_dim"] = l.turning
	}
	if l.interleaved {
		attrs["interleaved"] = 1
	}
	// The batch of one starts at position 0 of the tables, whose rows are tokens.
	y := n.Node(&onnx.Node{Op: "RotaryEmbedding", Domain: onnx.Microsoft,
		Inputs: n.of(n.Op("Unsqueeze", n.of(x, n.Ints(0)), nil), n.Ints(0), l.cos, l.sin), Attrs: attrs}, 1)[0]
	return n.Op("Squeeze", n.of(y, n.Ints(0)), nil)
}

// rotaryWritten is rotary in plain operators: pairs (a, b) → (a·cos − b·sin, b·cos + a·sin), of the halves of what turns, or of
// neighbours.
func (n *net) rotaryWritten(x *onnx.Value, l *layout, heads int) *onnx.Value {
	x = n.reshape(x, 0, int64(heads), l.headDim)
	var rest []*onnx.Value
	if l.turning < l.headDim {
		parts := n.cut(x, l.turning, l.headDim-l.turning)
		x, rest = parts[0], parts[1:]
	}
	pairs := n.pairs(x, l, heads)
	cos := n.Op("Unsqueeze", n.of(l.cos, n.Ints(1)), nil)
	sin := n.Op("Unsqueeze", n.of(l.sin, n.Ints(1)), nil)
	a := n.Op("Sub", n.of(n.mul(pairs[0], cos), n.mul(pairs[1], sin)), nil)
	b := n.add(n.mul(pairs[1], cos), n.mul(pairs[0], sin))
	parts := append(n.unpaired(a, b, l, heads), rest...)
	if len(parts) > 1 {
		parts = n.of(n.Op("Concat", parts, onnx.Attrs{"axis": -1}))
	}
	return n.reshape(parts[0], 0, int64(heads)*l.headDim)
}

// pairs are the two entries of each pair: [T,heads,turning] → twice [T,heads,turning/2].
func (n *net) pairs(x *onnx.Value, l *layout, heads int) []*onnx.Value {
	half := l.turning / 2
	if !l.interleaved {
		return n.cut(x, half, half)
	}
	pairs := n.cut(n.reshape(x, 0, int64(heads), half, 2), 1, 1)
	for i, p := range pairs {
		pairs[i] = n.Op("Squeeze", n.of(p, n.Ints(3)), nil)
	}
	return pairs
}

// unpaired puts pairs back where they were, in parts that are to be joined.
func (n *net) unpaired(a, b *onnx.Value, l *layout, heads int) []*onnx.Value {
	if !l.interleaved {
		return n.of(a, b)
	}
	last := func(x *onnx.Value) *onnx.Value { return n.Op("Unsqueeze", n.of(x, n.Ints(3)), nil) }
	return n.of(n.reshape(n.Op("Concat", n.of(last(a), last(b)), onnx.Attrs{"axis": -1}), 0, int64(heads), l.turning))
}

// attention is causal self-attention over packed q [T,H·d], k and v [T,KV·d], split by structure: prompts attend to
// themselves once, and each completion to its group's prompt and to itself.
func (n *net) attention(q, k, v *onnx.Value, l *layout) *onnx.Value {
	prompt := func(x *onnx.Value) *onnx.Value { return n.gather(x, l.promptRows, "prompt_slots") }
	completion := func(x *onnx.Value) *onnx.Value { return n.gather(x, l.completionRows, "completion_slots") }
	shared := func(x *onnx.Value) *onnx.Value { // [KV,G,P,d] → [K,KV,G,P,d]
		return n.Op("Expand", n.of(n.Op("Unsqueeze", n.of(x, n.Ints(0)), nil), l.completions), nil)
	}
	promptKeys, promptValues := n.keys(prompt(k), l), n.keys(prompt(v), l)
	ofPrompts := n.blocks(prompt(q), nil, promptKeys, nil, promptValues, l.promptMasks, l)
	ofCompletions := n.blocks(completion(q), shared(promptKeys), n.keys(completion(k), l),
		shared(promptValues), n.keys(completion(v), l), l.completionMasks, l)
	return n.gather(n.Op("Concat", n.of(ofPrompts, ofCompletions), onnx.Attrs{"axis": 0}), l.attentionRows, "attention_slots")
}

// blocks attends block by block of queries, one a mask: each sees the keys and values before, if any, and of its own
// sequence's those up to its last query: [G,(K,)L,H·d] → [slots,H·d].
func (n *net) blocks(q, before, k, beforeValues, v *onnx.Value, masks []*onnx.Value, l *layout) *onnx.Value {
	queries, keys, values := n.split(q, len(masks)), n.split(k, len(masks)), n.split(v, len(masks))
	upTo := func(i int, before *onnx.Value, own []*onnx.Value) *onnx.Value {
		parts := own[:i+1]
		if before != nil {
			parts = append(n.of(before), parts...)
		}
		if len(parts) == 1 {
			return parts[0]
		}
		return n.Op("Concat", parts, onnx.Attrs{"axis": -2})
	}
	var out []*onnx.Value
	for i, mask := range masks {
		out = append(out, n.attend(queries[i], upTo(i, before, keys), upTo(i, beforeValues, values), mask, l))
	}
	o := out[0]
	if len(out) > 1 {
		o = n.Op("Concat", out, onnx.Attrs{"axis": -2})
	}
	return n.reshape(o, -1, l.heads*l.headDim)
}

// split cuts x along its last but one dimension into parts of one size.
func (n *net) split(x *onnx.Value, parts int) []*onnx.Value {
	if parts == 1 {
		return n.of(x)
	}
	return n.Node(&onnx.Node{Op: "Split", Inputs: n.of(x), Attrs: onnx.Attrs{"axis": -2, "num_outputs": parts}}, parts)
}

// keys splits heads and puts them, and what has the same mask, before the groups: [G,P,KV·d] → [KV,G,P,d],
// [G,K,C,KV·d] → [K,KV,G,C,d].
func (n *net) keys(x *onnx.Value, l *layout) *onnx.Value {
	if len(x.Shape) == 3 {
		return n.transpose(n.reshape(x, 0, 0, l.kvHeads, l.headDim), 2, 0, 1, 3)
	}
	return n.transpose(n.reshape(x, 0, 0, 0, l.kvHeads, l.headDim), 1, 3, 0, 2, 4)
}

// masked adds a mask to scores, both as vectors but for what the mask repeats over: a GPU adds that at the speed of its memory, and
// a repeated matrix at a thirtieth.
func (n *net) masked(scores, mask *onnx.Value) *onnx.Value {
	sum := n.add(n.reshape(scores, 0, 0, -1), n.reshape(mask, -1))
	return n.Op("Reshape", n.of(sum, n.Op("Shape", n.of(scores), nil)), nil)
}

// attend is softmax(scale·q·kᵀ + mask)·v with the queries of a key head folded into rows, so that keys are never
// repeated: [G,(K,)L,H·d] → [G,(K,)L,H·d].
func (n *net) attend(q, k, v, mask *onnx.Value, l *layout) *onnx.Value {
	group := l.heads / l.kvHeads
	if len(q.Shape) == 3 {
		q = n.transpose(n.reshape(q, 0, 0, l.kvHeads, group, l.headDim), 2, 0, 3, 1, 4)
		q = n.reshape(q, 0, 0, -1, l.headDim)
	} else {
		q = n.transpose(n.reshape(q, 0, 0, 0, l.kvHeads, group, l.headDim), 1, 3, 0, 4, 2, 5)
		q = n.reshape(q, 0, 0, 0, -1, l.headDim)
	}
	probs := n.Op("Softmax", n.of(n.masked(n.capped(n.product(q, k, true, l.scale), l.cap), mask)), onnx.Attrs{"axis": -1})
	o := n.product(probs, v, false, 1)
	if len(o.Shape) == 4 {
		return n.reshape(n.transpose(n.reshape(o, 0, 0, group, -1, l.headDim), 1, 3, 0, 2, 4), 0, 0, l.heads*l.headDim)
	}
	return n.reshape(n.transpose(n.reshape(o, 0, 0, 0, group, -1, l.headDim), 2, 0, 4, 1, 3, 5), 0, 0, 0, l.heads*l.headDim)
}
