package models

import (
	"fmt"
	"math"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// A model for inference is one graph that holds its weights, in the layout of ONNX Runtime GenAI and Optimum. Letters beside those of
// Decoder: B sequences, S tokens of each that are new, T that there are then, those before and padding included.
//
//	input_ids, position_ids                  [B,S] int64
//	attention_mask                           [B,T] int64, 0 for padding on either side
//	past_key_values.N.key, .value            [B,KV,T−S,d] of layer N, what its present was before
//	logits                                   [B,S,V] of what follows each token
//	present.N.key, .value                    [B,KV,T,d]
//
// Attention is written in plain operators: one with a cache of its own cannot be told of padding on the left.

// The names of an inference graph's inputs and outputs.
const (
	inputIDs      = "input_ids"
	attentionMask = "attention_mask"
	positionIDs   = "position_ids"
	pastName      = "past_key_values.%d.%s" // of a layer's key or value
	presentName   = "present.%d.%s"
	logitsName    = "logits"
)

// CacheNames are the names of a layer's "key" or "value" in an inference graph: as it comes in, and as it goes out.
func CacheNames(layer int, what string) (past, present string) {
	return fmt.Sprintf(pastName, layer, what), fmt.Sprintf(presentName, layer, what)
}

// continuing holds what an inference graph computes once for all layers.
type continuing struct {
	shape       *onnx.Value            // [2]: B, S
	masks       map[int]*onnx.Value    // [B,1,S,T] by window: 0, or −1e9 where a query must not see a key
	given       map[string]*onnx.Value // by the names of stages' inputs
	batch, past onnx.Dim
}

// inference builds the whole graph. hold gives a stage's parameter.
func (d Decoder) inference(n *net, hold func(blockParam) *onnx.Value) {
	c := n.continuing(d)
	n.given = c.or(d.embedParams(), hold)
	x := d.embedded(n)
	for l := range d.Layers {
		kind := d.kind(l)
		n.given = c.or(d.layerParams(l), hold)
		layout := n.newLayout(d, kind, onnx.Dim{})
		x = d.layer(n, x, kind, layout, func(q, k, v *onnx.Value) *onnx.Value { return n.continued(q, k, v, l, kind.Window, layout, c) })
	}
	n.given = c.or(append(d.finalParams(), d.headParams()...), hold)
	x = d.norm(n, x, "norm", int64(d.Hidden))
	unembed := n.cast(n.Input("unembed", n.types.Weights), x.Type)
	n.Output(logitsName, n.sequences(d.logits(n, x, unembed, onnx.Const(int64(d.Vocab))), c, int64(d.Vocab)))
	g := n.Graph()
	last := len(g.Outputs) - 1
	g.Outputs = append([]*onnx.Value{g.Outputs[last]}, g.Outputs[:last]...)
}

// or gives, in the place of inputs, what all layers share, and else the parameters that are listed.
func (c *continuing) or(params []blockParam, hold func(blockParam) *onnx.Value) func(string) *onnx.Value {
	return func(name string) *onnx.Value {
		if v := c.given[name]; v != nil {
			return v
		}
		for _, p := range params {
			if p.input == name {
				return hold(p)
			}
		}
		return nil
	}
}

// continuing declares the inputs that are no layer's.
func (n *net) continuing(d Decoder) *continuing {
	B, S, past := onnx.Sym("batch_size"), onnx.Sym("sequence_length"), onnx.Sym("past_sequence_length")
	ids := n.Input(inputIDs, onnx.Int64, B, S)
	mask := n.Input(attentionMask, onnx.Int64, B, past.Add(S))
	positions := n.Input(positionIDs, onnx.Int64, B, S)
	flat := n.reshape(positions, -1)
	c := &continuing{batch: B, past: past, shape: n.Op("Shape", n.of(ids), nil), masks: map[int]*onnx.Value{},
		given: map[string]*onnx.Value{"ids": n.reshape(ids, -1), "positions": flat}}
	for _, r := range d.Rotations() {
		c.given[r.Cos], c.given[r.Sin] = n.rotations(r.Rope, positions)
	}
	for _, kind := range d.Kinds() {
		if c.masks[kind.Window] == nil {
			c.masks[kind.Window] = n.causal(mask, c.shape, kind.Window)
		}
	}
	return c
}

// rotations are the cosines and sines of tokens at positions [B,S], computed in float64 as Rotation does: [B·S,Dim/2] each. Where
// frequencies depend on a sequence's length, it is that up to its last token.
func (n *net) rotations(r Rope, positions *onnx.Value) (cos, sin *onnx.Value) {
	at := n.cast(n.Op("Unsqueeze", n.of(positions, n.Ints(-1)), nil), onnx.Float64)
	frequencies := n.vector(r.InvFreq)
	switch r.Type {
	case "dynamic":
		frequencies = n.mul(frequencies, n.slowed(r, positions))
	case "longrope":
		beyond := n.Op("Greater", n.of(n.lengths(positions), n.integer(int64(r.Trained))), nil)
		frequencies = n.Op("Where", n.of(n.Op("Unsqueeze", n.of(beyond, n.Ints(-1)), nil), n.vector(r.Long), frequencies), nil)
	}
	angles := n.mul(at, frequencies)
	angles = n.reshape(angles, -1, int64(len(r.InvFreq)))
	table := func(op string) *onnx.Value {
		y := n.Op(op, n.of(angles), nil)
		if r.Magnitude != 0 {
			y = n.times(y, r.Magnitude)
		}
		return n.cast(y, n.types.Compute)
	}
	return table("Cos"), table("Sin")
}

// slowed is what dynamic scaling multiplies each frequency by, [B,1,Dim/2]: raising the base by a factor slows pair i by its power −2i/Dim.
// Up to the trained length it is 1.
func (n *net) slowed(r Rope, positions *onnx.Value) *onnx.Value {
	grow := n.times(n.cast(n.lengths(positions), onnx.Float64), r.Factor/float64(r.Trained))
	grow = n.Op("Max", n.of(n.add(grow, n.Scalar(onnx.Float64, 1-r.Factor)), n.Scalar(onnx.Float64, 1)), nil)
	powers := make([]float64, len(r.InvFreq))
	for i := range powers {
		powers[i] = -2 * float64(i) / float64(r.Dim-2)
	}
	return n.Op("Pow", n.of(n.Op("Unsqueeze", n.of(grow, n.Ints(-1)), nil), n.vector(powers)), nil)
}

// lengths are those of sequences up to their last token: [B,1].
func (n *net) lengths(positions *onnx.Value) *onnx.Value {
	return n.add(n.Op("ReduceMax", n.of(positions, n.Ints(1)), onnx.Attrs{"keepdims": 1}), n.integer(1))
}

// causal is the mask of the last S of T tokens. A token's place is how many that are no padding lie up to it, so that padding counts
// in no window.
func (n *net) causal(mask, shape *onnx.Value, window int) *onnx.Value {
	keys := n.Op("CumSum", n.of(mask, n.integer(1)), nil)
	last := n.Op("Neg", n.of(n.Op("Slice", n.of(shape, n.Ints(1), n.Ints(2)), nil)), nil)
	queries := n.Op("Slice", n.of(keys, last, n.Ints(math.MaxInt64), n.Ints(1)), nil)
	keys, queries = n.Op("Unsqueeze", n.of(keys, n.Ints(1)), nil), n.Op("Unsqueeze", n.of(queries, n.Ints(2)), nil)
	seen := n.Op("And", n.of(n.Op("LessOrEqual", n.of(keys, queries), nil),
		n.Op("Unsqueeze", n.of(n.cast(mask, onnx.Bool), n.Ints(1)), nil)), nil)
	if window > 0 {
		first := n.Op("Sub", n.of(queries, n.integer(int64(window))), nil)
		seen = n.Op("And", n.of(seen, n.Op("Greater", n.of(keys, first), nil)), nil)
	}
	t := n.types.Compute
	return n.Op("Unsqueeze", n.of(n.Op("Where", n.of(seen, n.Scalar(t, 0), n.Scalar(t, hidden)), nil), n.Ints(1)), nil)
}

// hidden is added to the score of a key that a query must not see. It is finite: a row that sees nothing, of padding, has no NaN.
const hidden = -1e9

// integer is a constant int64 of rank 0.
func (n *net) integer(x int64) *onnx.Value {
	t := onnx.IntTensor([]int64{x})
	t.Dims = []int64{}
	return n.Constant(t)
}

// sequences gives rows of tokens their sequences back: [B·S,Πdims] → [B,S,dims].
func (n *net) sequences(x *onnx.Value, c *continuing, dims ...int64) *onnx.Value {
	target := n.Op("Concat", n.of(c.shape, n.Ints(dims...)), onnx.Attrs{"axis": 0})
	return n.Op("Reshape", n.of(x, target), nil)
}

// continued is attention of queries [B·S,H·d] to the keys before and to their own, [B·S,KV·d]. The queries of a key head lie in rows
// of one product, as in attend, but for the mask, which all heads share.
func (n *net) continued(q, k, v *onnx.Value, layer, window int, l *layout, c *continuing) *onnx.Value {
	heads := func(x *onnx.Value, heads int64) *onnx.Value {
		return n.transpose(n.sequences(x, c, heads, l.headDim), 0, 2, 1, 3)
	}
	keys, values := n.kept("key", heads(k, l.kvHeads), layer, c), n.kept("value", heads(v, l.kvHeads), layer, c)
	fold := func(x *onnx.Value, rows, last int64) *onnx.Value { return n.reshape(x, 0, rows, -1, last) }
	scores := n.capped(n.product(fold(heads(q, l.heads), l.kvHeads, l.headDim), keys, true, l.scale), l.cap)
	probs := n.Op("Softmax", n.of(n.add(fold(scores, l.heads, 0), c.masks[window])), onnx.Attrs{"axis": -1})
	o := fold(n.product(fold(probs, l.kvHeads, 0), values, false, 1), l.heads, l.headDim)
	return n.reshape(n.transpose(o, 0, 2, 1, 3), -1, l.heads*l.headDim)
}

// kept puts a layer's new keys or values [B,KV,S,d] behind those before. Before the first token ONNX Runtime takes an empty tensor of any
// sizes there, and Optimum makes one of sizes that it guesses; so heads and their entries have names.
func (n *net) kept(what string, x *onnx.Value, layer int, c *continuing) *onnx.Value {
	before, after := CacheNames(layer, what)
	past := n.Input(before, x.Type, c.batch, onnx.Sym("kv_heads"), c.past, onnx.Sym("head_dim"))
	y := n.Op("Concat", n.of(past, x), onnx.Attrs{"axis": 2})
	y.Shape = onnx.Shape{c.batch, x.Shape[1], c.past.Add(x.Shape[2]), x.Shape[3]}
	n.Output(after, y)
	return y
}
