package models

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// Fused names the graph that does what a block's graph does by operators that have no gradient, for passes that keep nothing: attention is one,
// and so are a sum and its norm.
func Fused(graph string) string { return graph + ".fused" }

// fusable reports whether the operator takes the decoder's heads on a GPU (Dao 2023, arXiv 2307.08691, has kernels of up to 256 entries),
// as they are: nothing pads them there in half precision.
func (d Decoder) fusable() bool { return d.Exported == nil && d.HeadDim%8 == 0 && d.HeadDim <= 256 }

// fusedBlock is a layer whose attention runs over whole sequences [N,S], each completion behind its prompt. They are padded on the right,
// where no real query looks, so there are no masks. What a prompt's queries see is computed again with each of its completions, to the
// same values.
func (d Decoder) fusedBlock(n *net, kind LayerKind) {
	n.fused = true
	x := n.Input("x", n.types.Compute, onnx.Sym("T"), onnx.Const(int64(d.Hidden)))
	l := n.newLayout(d, kind, onnx.Sym("T"))
	rows := n.Input("sequence_rows", onnx.Int64, onnx.Sym("N"), onnx.Sym("S")) // the packed row of each place
	slots := n.Input("sequence_slots", onnx.Int64, onnx.Sym("T"))              // each token's place among all
	nothing := past{last: n.Input("sequence_ends", onnx.Int32, onnx.Sym("N"))}
	nothing.total = n.cast(n.Op("Gather", n.of(n.Op("Shape", n.of(rows), nil), n.Ints(1)), nil), onnx.Int32) // from a shape it is where a GPU wants it: with the host
	n.Output("y", d.layer(n, x, kind, l, func(q, k, v *onnx.Value) *onnx.Value {
		whole := func(x *onnx.Value) *onnx.Value { return n.Op("Gather", n.of(x, rows), nil) }
		o, _, _ := n.grouped(whole(q), whole(k), whole(v), nothing, l, kind.Window)
		return n.Op("Gather", n.of(n.reshape(o, -1, l.heads*l.headDim), slots), nil)
	}))
}
