package models

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// norm is the decoder's norm over the last dimension of x, whose parameters are called name.
func (d Decoder) norm(n *net, x *onnx.Value, name string, size int64) *onnx.Value {
	if d.Norm == LayerNorm {
		return n.layerNorm(x, n.param(name, size), n.param(name+".bias", size), d.NormEps)
	}
	return n.rmsNorm(x, d.rmsWeight(n, name, size), d.NormEps)
}

// rmsWeight is what an RMS norm multiplies by.
func (d Decoder) rmsWeight(n *net, name string, size int64) *onnx.Value {
	if d.Norm != UnitRMS {
		return n.param(name, size)
	}
	// The sum is exact: beside 1, bfloat16 would lose most of a weight.
	w := n.cast(n.Input(name, n.types.Weights, onnx.Const(size)), n.exact())
	return n.cast(n.add(w, n.Scalar(w.Type, 1)), n.types.Compute)
}

// rmsNorm is x / sqrt(mean(x²) + eps) · w (Zhang and Sennrich 2019, arXiv 1910.07467). The second output of the fused
// operator, 1/sqrt(…), spares the backward pass a mean. Attributes are float32, and with them eps, so float64 writes it
// out.
func (n *net) rmsNorm(x, w *onnx.Value, eps float64) *onnx.Value {
	if n.types.Compute == onnx.Float64 {
		return n.mul(n.overRoot(x, eps), w)
	}
	return n.Node(&onnx.Node{Op: "SimplifiedLayerNormalization", Inputs: n.of(x, w),
		Attrs: onnx.Attrs{"axis": -1, "epsilon": eps}}, 2)[0]
}

// sumAndRMSNorm is x + plus, and its rmsNorm, as one operator, which reads each once.
func (n *net) sumAndRMSNorm(x, plus, w *onnx.Value, eps float64) (sum, normed *onnx.Value) {
	node := &onnx.Node{Op: "SkipSimplifiedLayerNormalization", Domain: onnx.Microsoft, Inputs: n.of(x, plus, w), Attrs: onnx.Attrs{"epsilon": eps}}
	out := n.Node(node, 4)
	sum, normed = out[3], out[0]
	node.Outputs[1], node.Outputs[2] = nil, nil // statistics, which no GPU gives
	return sum, normed
}

// overRoot is x / sqrt(mean(x²) + eps), in float64.
func (n *net) overRoot(x *onnx.Value, eps float64) *onnx.Value {
	return n.Op("Div", n.of(x, n.Op("Sqrt", n.of(n.add(n.mean(n.mul(x, x)), n.Scalar(onnx.Float64, eps))), nil)), nil)
}

func (n *net) mean(x *onnx.Value) *onnx.Value {
	return n.Op("ReduceMean", n.of(x, n.Ints(-1)), onnx.Attrs{"keepdims": 1})
}

// layerNorm is (x − mean(x)) / sqrt(var(x) + eps) · w + b (Ba et al. 2016, arXiv 1607.06450), written out in float64 as rmsNorm is.
func (n *net) layerNorm(x, w, b *onnx.Value, eps float64) *onnx.Value {
	if n.types.Compute == onnx.Float64 {
		centred := n.Op("Sub", n.of(x, n.mean(x)), nil)
		return n.add(n.mul(n.overRoot(centred, eps), w), b)
	}
	return n.Op("LayerNormalization", n.of(x, w, b), onnx.Attrs{"axis": -1, "epsilon": eps})
}

// headNorm norms queries or keys [T,heads·d], each head alone or all at once.
func (d Decoder) headNorm(n *net, x *onnx.Value, name string, heads int) *onnx.Value {
	whole := int64(heads * d.HeadDim)
	if d.QKWhole {
		return d.norm(n, x, name, whole)
	}
	return n.reshape(d.norm(n, n.reshape(x, 0, int64(heads), int64(d.HeadDim)), name, int64(d.HeadDim)), 0, whole)
}
