package optim

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// formula is a builder whose methods read as what they compute. Numbers are constants of type t.
type formula struct {
	*onnx.Builder
	t onnx.DType
}

func (f formula) op(name string, in ...*onnx.Value) *onnx.Value { return f.Op(name, in, nil) }

func (f formula) add(x, y *onnx.Value) *onnx.Value { return f.op("Add", x, y) }
func (f formula) sub(x, y *onnx.Value) *onnx.Value { return f.op("Sub", x, y) }
func (f formula) mul(x, y *onnx.Value) *onnx.Value { return f.op("Mul", x, y) }
func (f formula) div(x, y *onnx.Value) *onnx.Value { return f.op("Div", x, y) }
func (f formula) sqrt(x *onnx.Value) *onnx.Value   { return f.op("Sqrt", x) }

func (f formula) times(c float64, x *onnx.Value) *onnx.Value { return f.mul(x, f.Scalar(f.t, c)) }

// atLeast is max(x, c).
func (f formula) atLeast(x *onnx.Value, c float64) *onnx.Value {
	return f.op("Max", x, f.Scalar(f.t, c))
}

// keep is 1 − lr·λ, what decoupled weight decay leaves of a parameter.
func (f formula) keep(lr, decay *onnx.Value) *onnx.Value {
	return f.sub(f.Scalar(f.t, 1), f.mul(lr, decay))
}

// decayed is the clipped gradient plus that of ½ λ ‖p‖².
func (f formula) decayed(in map[string]*onnx.Value) *onnx.Value {
	return f.add(f.mul(in["g"], in["scale"]), f.mul(in["p"], in["weight_decay"]))
}

// Norm makes the graph from g [n], in element type t, to the sum of its squares: sum [1], float64 in any case. It is added up in type
// exact: in float64 neither the number of parameters nor the order of addition shows in it; float32 spares a GPU two passes over memory.
func Norm(t, exact onnx.DType) (*onnx.Graph, error) {
	return onnx.Build("norm", func(b *onnx.Builder) {
		cast := func(v *onnx.Value, t onnx.DType) *onnx.Value {
			if v.Type == t {
				return v
			}
			return b.Op("Cast", []*onnx.Value{v}, onnx.Attrs{"to": int64(t)})
		}
		g := cast(b.Input("g", t, onnx.Sym("n")), exact)
		b.Output("sum", cast(b.Op("ReduceSumSquare", []*onnx.Value{g, b.Ints(0)}, onnx.Attrs{"keepdims": 1}), onnx.Float64))
	})
}

// mean is that of a vector, [1].
func (f formula) mean(x *onnx.Value) *onnx.Value {
	return f.Op("ReduceMean", []*onnx.Value{x, f.Ints(0)}, onnx.Attrs{"keepdims": 1})
}

// meanSquare is the mean of squares over one axis of a matrix, which falls away.
func (f formula) meanSquare(x *onnx.Value, axis int64) *onnx.Value {
	return f.div(f.sumSquare(x, axis, 0), f.size(x, axis))
}

func (f formula) sumSquare(x *onnx.Value, axis, keep int64) *onnx.Value {
	return f.Op("ReduceSumSquare", []*onnx.Value{x, f.Ints(axis)}, onnx.Attrs{"keepdims": keep})
}

// size is that of one dimension, [1].
func (f formula) size(x *onnx.Value, axis int64) *onnx.Value {
	return f.Op("Cast", []*onnx.Value{f.Op("Shape", []*onnx.Value{x}, onnx.Attrs{"start": axis, "end": axis + 1})}, onnx.Attrs{"to": int64(f.t)})
}

// rms is the root mean square of a matrix or a vector, [1]. Rows are added up first, so that sums stay short.
func (f formula) rms(x *onnx.Value) *onnx.Value {
	if len(x.Shape) == 2 {
		return f.sqrt(f.mean(f.meanSquare(x, 1)))
	}
	return f.sqrt(f.div(f.sumSquare(x, 0, 1), f.size(x, 0)))
}

// norm is the Frobenius norm of a matrix, [1].
func (f formula) norm(x *onnx.Value) *onnx.Value {
	return f.sqrt(f.Op("ReduceSum", []*onnx.Value{f.sumSquare(x, 1, 0), f.Ints(0)}, onnx.Attrs{"keepdims": 1}))
}
