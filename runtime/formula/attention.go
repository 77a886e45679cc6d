package formula

import (
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Letters in shapes: N sequences, S tokens of each, H query heads, KV key heads, d entries a head.
func init() {
	register(onnx.Microsoft+":Attention", 2, fusedAttention)
	register(onnx.Microsoft+":MultiHeadAttention", 3, multiHeadAttention)
	register(onnx.Microsoft+":GroupQueryAttention", 1, groupQueryAttention)
	register("Attention", 3, standardAttention)
	register("RotaryEmbedding", 3, standardRotary)
}

// fusedAttention projects x to queries, keys and values by one product.
func fusedAttention(w *writer, n *onnx.Node) []*onnx.Value {
	w.none(6, "do_rotary", "past_present_share_buffer")
	heads := w.positive("num_heads")
	sizes := n.IntList("qkv_hidden_sizes")
	if sizes == nil {
		third := w.size(n.Inputs[1], 1) / 3
		sizes = []int64{third, third, third}
	}
	if len(sizes) != 3 {
		w.Fail("node %s: qkv_hidden_sizes of Attention has %d numbers, of queries, keys and values", n.Name, len(sizes))
	}
	qkv := w.plus(w.op("MatMul", n.Inputs[0], n.Inputs[1]), n.Input(2))
	parts := w.split(qkv, sizes...)
	for i := range parts {
		parts[i] = w.apart(parts[i], heads)
	}
	a := attention{causal: n.Int("unidirectional", 0) != 0, bias: n.Input(5)}
	if mask := n.Input(3); mask != nil {
		a.seen = w.tokens(mask)
	}
	return []*onnx.Value{w.together(w.attend(parts[0], parts[1], parts[2], a))}
}

// multiHeadAttention takes queries, keys and values [N,S,H·d].
func multiHeadAttention(w *writer, n *onnx.Node) []*onnx.Value {
	heads := w.positive("num_heads")
	if len(n.Inputs[1].Shape) != 3 {
		w.Fail("node %s: MultiHeadAttention with keys of shape %s is not supported", n.Name, n.Inputs[1].Shape)
	}
	parts := slices.Clone(n.Inputs[:3])
	if bias := n.Input(3); bias != nil {
		sizes := []int64{w.size(parts[0], 2), w.size(parts[1], 2), w.size(parts[2], 2)}
		for i, b := range w.split(bias, sizes...) {
			parts[i] = w.add(parts[i], b)
		}
	}
	for i := range parts {
		parts[i] = w.apart(parts[i], heads)
	}
	a := attention{causal: n.Int("unidirectional", 0) != 0, bias: n.Input(5)}
	if mask := n.Input(4); mask != nil {
		a.seen = w.tokens(mask)
	}
	return []*onnx.Value{w.together(w.attend(parts[0], parts[1], parts[2], a)), parts[1], parts[2]}
}

// tokens is a mask [N,S] of tokens as one of scores: [N,1,1,S]. Masks of other shapes hold lengths.
func (w *writer) tokens(mask *onnx.Value) *onnx.Value {
	if len(mask.Shape) != 2 {
		w.Fail("node %s: a mask of shape %s is not supported by %s: [batch, tokens] is", w.node.Name, mask.Shape, w.node.Op)
	}
	return w.op("Unsqueeze", w.cast(mask, onnx.Bool), w.Ints(1, 2))
}

// groupQueryAttention is causal. Sequences are taken to begin at position 0 and to be padded on the right, so that the lengths that it is
// given change nothing.
func groupQueryAttention(w *writer, n *onnx.Node) []*onnx.Value {
	w.none(11, "smooth_softmax")
	heads, shared := w.positive("num_heads"), w.positive("kv_num_heads")
	q, k, v := n.Inputs[0], n.Input(1), n.Input(2)
	if k == nil || v == nil {
		d := w.size(q, 2) / (heads + 2*shared)
		parts := w.split(q, heads*d, shared*d, shared*d)
		q, k, v = parts[0], parts[1], parts[2]
	}
	q, k, v = w.apart(q, heads), w.apart(k, shared), w.apart(v, shared)
	if n.Int("do_rotary", 0) != 0 {
		turn := func(x *onnx.Value) *onnx.Value {
			return w.rotary(x, w.Ints(0), w.needs(7), w.needs(8), n.Int("rotary_interleaved", 0))
		}
		q, k = turn(q), turn(k)
	}
	a := attention{causal: true, window: max(n.Int("local_window_size", -1), 0), cap: float64(n.Float("softcap", 0)), bias: n.Input(10)}
	return []*onnx.Value{w.together(w.attend(q, k, v, a)), k, v}
}

// standardAttention is ONNX's own, of opset 23.
func standardAttention(w *writer, n *onnx.Node) []*onnx.Value {
	w.none(6, "qk_matmul_output_mode")
	q, k, v := n.Inputs[0], n.Inputs[1], n.Inputs[2]
	flat := len(q.Shape) == 3
	if flat {
		heads, shared := w.positive("q_num_heads"), w.positive("kv_num_heads")
		q, k, v = w.apart(q, heads), w.apart(k, shared), w.apart(v, shared)
	}
	a := attention{causal: n.Int("is_causal", 0) != 0, cap: float64(n.Float("softcap", 0))}
	if mask := n.Input(3); mask != nil && mask.Type == onnx.Bool {
		a.seen = mask
	} else {
		a.bias = mask
	}
	out := w.attend(q, k, v, a)
	if flat {
		out = w.together(out)
	}
	return []*onnx.Value{out, k, v}
}

// standardRotary is ONNX's own, of opset 23: as ONNX Runtime's, with other places of inputs, and cosines that may be given by token.
func standardRotary(w *writer, n *onnx.Node) []*onnx.Value {
	x, cos, sin, at := n.Inputs[0], n.Inputs[1], n.Inputs[2], n.Input(3)
	flat := len(x.Shape) == 3
	if flat {
		x = w.apart(x, w.positive("num_heads"))
	}
	if at != nil {
		cos, sin = w.op("Gather", cos, at), w.op("Gather", sin, at)
	}
	cos, sin = w.op("Unsqueeze", cos, w.Ints(1)), w.op("Unsqueeze", sin, w.Ints(1)) // [N,1,S,d/2]
	d := w.size(x, 3)
	turned := d
	if part := n.Int("rotary_embedding_dim", 0); part != 0 {
		turned = part
	}
	if n.Int("interleaved", 0) != 0 {
		w.Fail("node %s: RotaryEmbedding of neighbouring entries (interleaved) is not supported", n.Name)
	}
	sizes := []int64{turned / 2, turned / 2}
	if turned < d {
		sizes = append(sizes, d-turned)
	}
	parts := w.split(x, sizes...)
	a, b := parts[0], parts[1]
	parts[0] = w.op("Sub", w.mul(a, cos), w.mul(b, sin))
	parts[1] = w.add(w.mul(a, sin), w.mul(b, cos))
	out := w.Op("Concat", parts, onnx.Attrs{"axis": -1})
	if flat {
		out = w.together(out)
	}
	return []*onnx.Value{out}
}

// rotary turns [N,H,S,d] by ONNX Runtime's own operator, which has a gradient rule.
func (w *writer) rotary(x, at, cos, sin *onnx.Value, interleaved int64) *onnx.Value {
	return w.Node(&onnx.Node{Op: "RotaryEmbedding", Domain: onnx.Microsoft, Inputs: []*onnx.Value{x, at, cos, sin}, Attrs: onnx.Attrs{"interleaved": interleaved}}, 1)[0]
}

// split cuts the last dimension.
func (w *writer) split(x *onnx.Value, sizes ...int64) []*onnx.Value {
	return slices.Clone(w.Node(&onnx.Node{Op: "Split", Inputs: []*onnx.Value{x, w.Ints(sizes...)}, Attrs: onnx.Attrs{"axis": -1}}, len(sizes)))
}

// apart is [N,S,H·d] → [N,H,S,d].
func (w *writer) apart(x *onnx.Value, heads int64) *onnx.Value {
	return w.transpose(w.reshape(x, 0, 0, heads, w.size(x, 2)/heads), 0, 2, 1, 3)
}

// together is [N,H,S,d] → [N,S,H·d].
func (w *writer) together(x *onnx.Value) *onnx.Value {
	return w.reshape(w.transpose(x, 0, 2, 1, 3), 0, 0, w.size(x, 1)*w.size(x, 3))
}

// attention says which keys a query sees, and how scores are made.
type attention struct {
	causal bool
	window int64       // keys that a query sees, itself included; 0 for all
	cap    float64     // of scores: cap·tanh(score/cap); 0 for none
	seen   *onnx.Value // bool, broadcasts to [N,H,S,S]; nil for all
	bias   *onnx.Value // added to scores, likewise; nil for none
}

// attend is softmax(q·kᵀ·scale + mask)·v. Key heads are repeated for the query heads that share them.
func (w *writer) attend(q, k, v *onnx.Value, a attention) *onnx.Value {
	groups := w.size(q, 1) / max(w.size(k, 1), 1)
	k, v = w.repeat(k, groups), w.repeat(v, groups)
	scores := w.times(w.op("MatMul", q, w.transpose(k, 0, 1, 3, 2)), w.scaleOf(w.size(q, 3)))
	if a.cap != 0 {
		scores = w.times(w.op("Tanh", w.times(scores, 1/a.cap)), a.cap)
	}
	scores = w.plus(scores, a.bias)
	seen := a.seen
	if a.causal {
		seen = w.and(seen, w.earlier(scores, a.window))
	}
	if seen != nil {
		scores = w.add(scores, w.op("Where", seen, w.Scalar(scores.Type, 0), w.Scalar(scores.Type, hidden)))
	}
	return w.op("MatMul", w.Op("Softmax", []*onnx.Value{scores}, onnx.Attrs{"axis": -1}), v)
}

func (w *writer) and(a, b *onnx.Value) *onnx.Value {
	if a == nil {
		return b
	}
	return w.op("And", a, b)
}

// earlier says of the queries and keys of scores [N,H,S,S] which keys do not come after the query, nor before its window: [S,S].
func (w *writer) earlier(scores *onnx.Value, window int64) *onnx.Value {
	zero, one := w.op("Squeeze", w.Ints(0), w.Ints(0)), w.op("Squeeze", w.Ints(1), w.Ints(0))
	places := func(axis int64) *onnx.Value {
		length := w.op("Squeeze", w.Op("Shape", []*onnx.Value{scores}, onnx.Attrs{"start": axis, "end": axis + 1}), w.Ints(0))
		return w.op("Range", zero, length, one)
	}
	query, key := w.op("Unsqueeze", places(2), w.Ints(1)), places(3)
	seen := w.op("LessOrEqual", key, query)
	if window > 0 {
		seen = w.op("And", seen, w.op("Less", w.op("Sub", query, w.Ints(window)), key))
	}
	return seen
}

// repeat gives each key head as often as query heads share it: [N,KV,S,d] → [N,H,S,d].
func (w *writer) repeat(x *onnx.Value, times int64) *onnx.Value {
	if times == 1 {
		return x
	}
	heads, d := w.size(x, 1), w.size(x, 3)
	wide := w.Op("Concat", []*onnx.Value{w.Op("Shape", []*onnx.Value{x}, onnx.Attrs{"start": 0, "end": 1}), w.Ints(heads, times),
		w.Op("Shape", []*onnx.Value{x}, onnx.Attrs{"start": 2, "end": 3}), w.Ints(d)}, onnx.Attrs{"axis": 0})
	return w.reshape(w.op("Expand", w.op("Unsqueeze", x, w.Ints(2)), wide), 0, heads*times, -1, d)
}
