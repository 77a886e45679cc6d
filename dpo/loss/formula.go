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

// sum adds up over the completions: [G,K] → [G].
func (f formula) sum(x *onnx.Value) *onnx.Value {
	return f.Op("ReduceSum", []*onnx.Value{x, f.Ints(1)}, onnx.Attrs{"keepdims": 0})
}

// lead is how far the first of two is ahead of the second: [G,2] → [G].
func (f formula) lead(x *onnx.Value) *onnx.Value {
	signs, err := onnx.FloatTensor(f.t, []float64{1, -1})
	if err != nil {
		f.Fail("%w", err)
	}
	return f.sum(f.mul(x, f.Constant(signs)))
}

// row makes [G,K] into [G,1,K].
func (f formula) row(x *onnx.Value) *onnx.Value {
	return f.Op("Unsqueeze", []*onnx.Value{x, f.Ints(1)}, nil)
}
