package loss

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// formula is a builder whose methods read as what they compute. Numbers are constants of type t.
type formula struct {
	*onnx.Builder
	t onnx.DType
}

func (f formula) add(x, y *onnx.Value) *onnx.Value { return f.Op("Add", []*onnx.Value{x, y}, nil) }
func (f formula) sub(x, y *onnx.Value) *onnx.Value { return f.Op("Sub", []*onnx.Value{x, y}, nil) }
func (f formula) mul(x, y *onnx.Value) *onnx.Value { return f.Op("Mul", []*onnx.Value{x, y}, nil) }
func (f formula) div(x, y *onnx.Value) *onnx.Value { return f.Op("Div", []*onnx.Value{x, y}, nil) }
func (f formula) neg(x *onnx.Value) *onnx.Value    { return f.Op("Neg", []*onnx.Value{x}, nil) }
func (f formula) exp(x *onnx.Value) *onnx.Value    { return f.Op("Exp", []*onnx.Value{x}, nil) }
func (f formula) log(x *onnx.Value) *onnx.Value    { return f.Op("Log", []*onnx.Value{x}, nil) }
func (f formula) relu(x *onnx.Value) *onnx.Value   { return f.Op("Relu", []*onnx.Value{x}, nil) }

// sum adds up over the completions: [G,K] → [G].
func (f formula) sum(x *onnx.Value) *onnx.Value {
	return f.Op("ReduceSum", []*onnx.Value{x, f.Ints(1)}, onnx.Attrs{"keepdims": 0})
}

// lead is how far the first of two is ahead of the second: [G,2] → [G].
func (f formula) lead(x *onnx.Value) *onnx.Value { return f.sum(f.mul(x, f.pair(1, -1))) }

// chosen is the first of two: [G,2] → [G].
func (f formula) chosen(x *onnx.Value) *onnx.Value { return f.sum(f.mul(x, f.pair(1, 0))) }

// pair is a constant [2].
func (f formula) pair(first, second float64) *onnx.Value {
	t, err := onnx.FloatTensor(f.t, []float64{first, second})
	if err != nil {
		f.Fail("%w", err)
	}
	return f.Constant(t)
}

// logSigmoid is log σ(x) = min(x, 0) − log(1 + exp(−|x|)). Its derivative, σ(−x), comes out to full relative accuracy far from 0 on
// both sides, and at 0 as 1/2.
func (f formula) logSigmoid(x *onnx.Value) *onnx.Value {
	low := f.Op("Min", []*onnx.Value{x, f.Scalar(f.t, 0)}, nil)
	return f.sub(low, f.log(f.add(f.Scalar(f.t, 1), f.exp(f.neg(f.Op("Abs", []*onnx.Value{x}, nil))))))
}

// sigmoid is σ(x) as exp log σ(x), whose exponent is never positive.
func (f formula) sigmoid(x *onnx.Value) *onnx.Value { return f.exp(f.logSigmoid(x)) }

// rejected is the second of two: [G,2] → [G].
func (f formula) rejected(x *onnx.Value) *onnx.Value { return f.sum(f.mul(x, f.pair(0, 1))) }

// mean is over all elements, [1].
func (f formula) mean(x *onnx.Value) *onnx.Value {
	flat := f.Op("Reshape", []*onnx.Value{x, f.Ints(-1)}, nil)
	return f.Op("ReduceMean", []*onnx.Value{flat, f.Ints(0)}, onnx.Attrs{"keepdims": 1})
}

// still is x, through which no gradient flows.
func (f formula) still(x *onnx.Value) *onnx.Value {
	return f.Node(&onnx.Node{Op: "Identity", Inputs: []*onnx.Value{x}, Meta: map[string]string{"gradient": "none"}}, 1)[0]
}

// row makes [G,K] into [G,1,K].
func (f formula) row(x *onnx.Value) *onnx.Value {
	return f.Op("Unsqueeze", []*onnx.Value{x, f.Ints(1)}, nil)
}
