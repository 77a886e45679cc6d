package models

import (
	"math"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Adapter is a low-rank change of some of a model's weights, which are then not trained themselves. LoRA (Hu et al. 2021, arXiv 2106.09685,
// Equation 3), of a module with weight W [out,in], is
//
//	y = x·Wᵀ + scale·(x·Aᵀ)·Bᵀ        A [r,in], B [out,r]
//
// and DoRA (Liu et al. 2024, arXiv 2402.09353, Equation 5) the same direction with a trained magnitude m [out]:
//
//	y = m / ‖W + scale·B·A‖ · (x·Wᵀ + scale·(x·Aᵀ)·Bᵀ)        the norm of each row, a constant to the gradient (Section 4.3)
type Adapter struct {
	DoRA    bool
	Modules map[string]LowRank // by the module's name, such as model.layers.0.self_attn.q_proj
}

// LowRank is the change of one module.
type LowRank struct {
	Rank  int
	Scale float64 // alpha/r, or by rsLoRA (Kalajdzievski 2023, arXiv 2312.03732) alpha/√r
}

// scaleOf is a change's scale.
func scaleOf(rank int, alpha float64, rs bool) float64 {
	if rs {
		return alpha / math.Sqrt(float64(rank))
	}
	return alpha / float64(rank)
}

// adapted is a product's module that an adapter changes, by the name of the graph's input that its weight is.
type adapted struct {
	LowRank
	input   string
	dora    bool
	in      int64
	out     onnx.Dim
	lookup  bool   // a table that rows are taken from, not a product
	tensors string // the module's name, or the end of it
}

// change describes what the adapter does to a module whose weight a graph has as input; nil for nothing.
func (d Decoder) change(input, module string, in int64, out onnx.Dim) *adapted {
	if d.Adapter == nil {
		return nil
	}
	low, ok := d.Adapter.Modules[module]
	if !ok {
		return nil
	}
	return &adapted{LowRank: low, input: input, dora: d.Adapter.DoRA, in: in, out: out, lookup: input == EmbedGraph, tensors: module}
}

// params are the adapter's own parameters of a module, under PEFT's names.
func (m *adapted) params() []blockParam {
	if m == nil {
		return nil
	}
	out, _ := m.out.Eval(nil)
	r := int64(m.Rank)
	if m.lookup {
		return []blockParam{{input: m.input + ".lora_A", tensor: m.tensors + ".lora_embedding_A", shape: []int64{r, m.in}, low: true},
			{input: m.input + ".lora_B", tensor: m.tensors + ".lora_embedding_B", shape: []int64{out, r}, low: true}}
	}
	ps := []blockParam{{input: m.input + ".lora_A", tensor: m.tensors + ".lora_A.weight", shape: []int64{r, m.in}, low: true},
		{input: m.input + ".lora_B", tensor: m.tensors + ".lora_B.weight", shape: []int64{out, r}, low: true}}
	if m.dora {
		ps = append(ps, blockParam{input: m.input + ".magnitude", tensor: m.tensors + ".lora_magnitude_vector", shape: []int64{out}, low: true})
	}
	return ps
}

// lowRank gives scale·A and B in type t. The scale is exact: in bfloat16 it would have three digits.
func (n *net) lowRank(m *adapted, t onnx.DType) (a, b *onnx.Value) {
	r := onnx.Const(int64(m.Rank))
	a = n.mul(n.Input(m.input+".lora_A", n.exact(), r, onnx.Const(m.in)), n.Scalar(n.exact(), m.Scale))
	return n.cast(a, t), n.cast(n.Input(m.input+".lora_B", n.exact(), m.out, r), t)
}

// changed is linear with what an adapter adds: [T,in] → [T,out].
func (n *net) changed(x, w, bias *onnx.Value, m *adapted) *onnx.Value {
	if m == nil {
		return n.linear(x, w, bias)
	}
	a, b := n.lowRank(m, x.Type)
	if !m.dora {
		return n.linear(x, w, n.thin(n.thin(x, a, nil), b, bias))
	}
	y := n.mul(n.linear(x, w, n.thin(n.thin(x, a, nil), b, nil)), n.cast(n.magnitude(w, a, b, m), x.Type))
	if bias != nil {
		y = n.add(y, bias)
	}
	return y
}

// thin is linear to or from the few columns of a low rank.
func (n *net) thin(x, w, bias *onnx.Value) *onnx.Value {
	y := n.linear(x, w, bias)
	if !n.few {
		y.Node.Meta = map[string]string{"rank": "low"}
	}
	return y
}

// magnitude is m / ‖W + B·a‖ [out], of a = scale·A.
func (n *net) magnitude(w, a, b *onnx.Value, m *adapted) *onnx.Value {
	w, a, b = n.cast(w, n.exact()), n.cast(a, n.exact()), n.cast(b, n.exact())
	moved := n.add(w, n.Op("MatMul", n.of(b, a), nil))
	squares := n.Op("ReduceSum", n.of(n.mul(moved, moved), n.Ints(1)), onnx.Attrs{"keepdims": 0})
	norm := n.Node(&onnx.Node{Op: "Sqrt", Inputs: n.of(squares), Meta: map[string]string{"gradient": "none"}}, 1)[0]
	return n.Op("Div", n.of(n.Input(m.input+".magnitude", n.exact(), m.out), norm), nil)
}

// looked is what an adapter adds to rows of the embedding: A holds a column a token.
func (n *net) looked(ids *onnx.Value, m *adapted) *onnx.Value {
	a, b := n.lowRank(m, n.exact())
	rows := n.Op("Gather", n.of(n.transpose(a, 1, 0), ids), nil)
	return n.cast(n.thin(rows, b, nil), n.types.Compute)
}
