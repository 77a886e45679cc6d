package models

import (
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// block is a layer's graph as it is built: its decoder, and its parameters by the names of inputs.
type block struct {
	Decoder
	*net
	params map[string]blockParam
}

func (d Decoder) within(n *net, kind LayerKind) *block {
	b := &block{d, n, map[string]blockParam{}}
	for _, p := range d.layerParams(kind.Layer) {
		b.params[p.input] = p
	}
	return b
}

// norm is x where the architecture has no such norm.
func (b *block) norm(x *onnx.Value, name string) *onnx.Value {
	if p, ok := b.params[name]; ok {
		return b.Decoder.norm(b.net, x, name, p.shape[0])
	}
	return x
}

// sumAndNorm is x + plus, and its norm. As one operator a LayerNorm's variance would be a difference of large numbers.
func (b *block) sumAndNorm(x, plus *onnx.Value, name string) (sum, normed *onnx.Value) {
	if p, ok := b.params[name]; ok && b.fused && b.Norm != LayerNorm {
		return b.sumAndRMSNorm(x, plus, b.rmsWeight(b.net, name, p.shape[0]), b.NormEps)
	}
	sum = b.add(x, plus)
	return sum, b.norm(sum, name)
}

// linear is x·wᵀ + bias of the parameter that is named, as an adapter changes it.
func (b *block) linear(x *onnx.Value, name string) *onnx.Value {
	var bias *onnx.Value
	if p, ok := b.params[name+".bias"]; ok {
		bias = b.param(name+".bias", p.shape...)
	}
	p := b.params[name]
	w := b.param(name, p.shape...)
	if b.Transposed && b.packed[w] == nil {
		w = b.transpose(w, 1, 0) // which ONNX Runtime takes into the product
	}
	return b.changed(x, w, bias, b.changeOf(p))
}

// queries gives queries and keys, normed and turned, and values.
func (b *block) queries(x *onnx.Value, l *layout) (q, k *onnx.Value, v func() *onnx.Value) {
	turned := func(x *onnx.Value, name string, heads int) *onnx.Value {
		if b.QKNorm {
			x = b.headNorm(b.net, x, name+"_norm", heads)
		}
		return b.rotary(x, l, heads)
	}
	if b.Fused != Apart {
		parts := b.apart(b.linear(x, "qkv"))
		return turned(parts[0], "q", b.Heads), turned(parts[1], "k", b.KVHeads), func() *onnx.Value { return parts[2] }
	}
	q, k = turned(b.linear(x, "q"), "q", b.Heads), turned(b.linear(x, "k"), "k", b.KVHeads)
	return q, k, func() *onnx.Value { return b.linear(x, "v") }
}

// apart takes a fused product apart into queries, keys and values.
func (b *block) apart(x *onnx.Value) []*onnx.Value {
	q, kv := int64(b.Heads*b.HeadDim), int64(b.KVHeads*b.HeadDim)
	if b.Fused == FusedRows {
		return b.cut(x, q, kv, kv)
	}
	d := int64(b.HeadDim)
	parts := b.cut(b.reshape(x, 0, int64(b.Heads), 3*d), d, d, d)
	for i, p := range parts {
		parts[i] = b.reshape(p, 0, q)
	}
	return parts
}

// mlp is down(activation(gate(x))·up(x)), or down(activation(up(x))).
func (b *block) mlp(x *onnx.Value) *onnx.Value {
	activation := activations[b.Activation]
	switch {
	case b.Ungated:
		return b.linear(activation(b.net, b.linear(x, "up")), "down")
	case b.FusedGate:
		f := int64(b.Intermediate)
		parts := b.cut(b.linear(x, "gate_up"), f, f)
		return b.linear(b.mul(activation(b.net, parts[0]), parts[1]), "down")
	}
	gate := activation(b.net, b.linear(x, "gate"))
	return b.linear(b.mul(gate, b.linear(x, "up")), "down")
}

// cut splits x along its last dimension.
func (n *net) cut(x *onnx.Value, sizes ...int64) []*onnx.Value {
	return slices.Clone(n.Node(&onnx.Node{Op: "Split", Inputs: n.of(x, n.Ints(sizes...)), Attrs: onnx.Attrs{"axis": -1}}, len(sizes)))
}
