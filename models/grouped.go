package models

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// past is what came before the tokens of some sequences, for grouped.
type past struct {
	keys, values *onnx.Value // [B,KV,M,d]; nil for nothing
	last         *onnx.Value // [B]: the position of each sequence's last token
	total        *onnx.Value // [1]: tokens of the longest sequence; where nothing came before, S
}

// grouped is causal attention of queries [B,S,H·d] to what came before and to their own keys and values [B,S,KV·d], as one operator. It
// gives [B,S,H·d], and all keys and values [B,KV,M,d].
func (n *net) grouped(q, k, v *onnx.Value, p past, l *layout, window int) (out, keys, values *onnx.Value) {
	if window == 0 {
		window = -1 // all
	}
	q, k, v = n.widen(q, l.heads, l), n.widen(k, l.kvHeads, l), n.widen(v, l.kvHeads, l)
	attrs := onnx.Attrs{"num_heads": int(l.heads), "kv_num_heads": int(l.kvHeads), "scale": l.scale, "local_window_size": window}
	if l.cap != 0 {
		attrs["softcap"] = l.cap
	}
	all := n.Node(&onnx.Node{Op: "GroupQueryAttention", Domain: onnx.Microsoft, Inputs: n.of(q, k, v, p.keys, p.values, p.last, p.total), Attrs: attrs}, 3)
	return n.narrow(all[0], l), all[1], all[2]
}

// padded is the entries of a head that the operator sees: it takes multiples of 8.
func (l *layout) padded() int64 { return (l.headDim + 7) / 8 * 8 }

// widen pads each head of x [B,S,heads·d] with zeros, which change no product.
func (n *net) widen(x *onnx.Value, heads int64, l *layout) *onnx.Value {
	if l.padded() == l.headDim {
		return x
	}
	x = n.reshape(x, 0, 0, heads, l.headDim)
	x = n.Op("Pad", n.of(x, n.Ints(0, 0, 0, 0, 0, 0, 0, l.padded()-l.headDim)), nil)
	return n.reshape(x, 0, 0, heads*l.padded())
}

// narrow takes the zeros off again.
func (n *net) narrow(x *onnx.Value, l *layout) *onnx.Value {
	if l.padded() == l.headDim {
		return x
	}
	x = n.reshape(x, 0, 0, l.heads, l.padded())
	x = n.Op("Slice", n.of(x, n.Ints(0), n.Ints(l.headDim), n.Ints(3)), nil)
	return n.reshape(x, 0, 0, l.heads*l.headDim)
}
