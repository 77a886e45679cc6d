package autodiff

import (
	"math"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Activations.
func init() {
	unary("Sigmoid", func(s *sweep, _, y, dy *onnx.Value) *onnx.Value { return s.mul(dy, s.sub(y, s.mul(y, y))) })
	unary("Tanh", func(s *sweep, _, y, dy *onnx.Value) *onnx.Value { return s.sub(dy, s.mul(dy, s.mul(y, y))) })
	unary("Softplus", func(s *sweep, x, _, dy *onnx.Value) *onnx.Value { return s.mul(dy, s.op("Sigmoid", x)) })
	unary("Erf", func(s *sweep, x, _, dy *onnx.Value) *onnx.Value {
		return s.mul(dy, s.times(twoOverRootPi, s.op("Exp", s.neg(s.mul(x, x)))))
	})
	unary("Relu", func(s *sweep, x, _, dy *onnx.Value) *onnx.Value {
		return s.op("Where", s.op("Greater", x, s.Scalar(x.Type, 0)), dy, s.Scalar(x.Type, 0))
	})
	register(quickGelu, onnx.Microsoft+":QuickGelu")
	register(gelu, "Gelu", onnx.Microsoft+":Gelu")
	register(softmax, "Softmax")
	register(logSoftmax, "LogSoftmax")
}

// quickGelu: y = x·σ(αx), dx = dy·(σ + α·y·(1 − σ)).
func quickGelu(s *sweep, n *onnx.Node) {
	s.give(0, func() *onnx.Value {
		x, y, alpha := n.Inputs[0], n.Outputs[0], float64(n.Float("alpha", 1.702))
		if alpha == 1 { // σ + y − σ·y = σ·(1 − y) + y
			sigma := s.op("Sigmoid", x)
			return s.mul(s.dy(0), s.op("Add", s.mul(sigma, s.sub(s.Scalar(y.Type, 1), y)), y))
		}
		sigma := s.op("Sigmoid", s.times(alpha, x))
		return s.mul(s.dy(0), s.op("Add", sigma, s.times(alpha, s.mul(y, s.sub(s.Scalar(y.Type, 1), sigma)))))
	})
}

// gelu: y = x·Φ(x), dx = dy·(Φ(x) + x·φ(x)); or Hendrycks and Gimpel's approximation of Φ by tanh (arXiv 1606.08415). The slope is
// computed in the wide type, as constants in half precision have three digits.
func gelu(s *sweep, n *onnx.Node) {
	s.give(0, func() *onnx.Value {
		slope := geluSlope
		if n.Text("approximate", "none") == "tanh" {
			slope = geluTanh
		}
		return s.mul(s.dy(0), s.cast(slope(s, s.wide(n.Inputs[0])), s.dy(0).Type))
	})
}

// geluSlope is Φ(x) + x·φ(x).
func geluSlope(s *sweep, x *onnx.Value) *onnx.Value {
	cdf := s.times(0.5, s.plus(s.op("Erf", s.times(math.Sqrt(0.5), x)), 1))
	density := s.times(1/math.Sqrt(2*math.Pi), s.op("Exp", s.times(-0.5, s.mul(x, x))))
	return s.op("Add", cdf, s.mul(x, density))
}

// geluTanh is the derivative of x·(1 + tanh u)/2 with u = √(2/π)·(x + 0.044715·x³).
func geluTanh(s *sweep, x *onnx.Value) *onnx.Value {
	const cubic = 0.044715
	c := math.Sqrt(2 / math.Pi)
	square := s.mul(x, x)
	t := s.op("Tanh", s.times(c, s.mul(x, s.plus(s.times(cubic, square), 1))))
	du := s.times(c, s.plus(s.times(3*cubic, square), 1))
	return s.op("Add", s.times(0.5, s.plus(t, 1)), s.times(0.5, s.mul(s.mul(x, du), s.sub(s.Scalar(x.Type, 1), s.mul(t, t)))))
}

// softmaxAxis is the axis of a softmax, which in old opsets flattened all axes from there on.
func softmaxAxis(s *sweep, n *onnx.Node) int64 {
	rank := int64(len(n.Outputs[0].Shape))
	axis := n.Int("axis", -1)
	if old := s.Graph().Opsets[""] < 13; old {
		if axis = n.Int("axis", 1); axis != -1 && axis != rank-1 {
			s.Fail("node %s: a %s over several axes (opset below 13) has no gradient rule", n.Name, n.Op)
		}
	}
	return axis
}

// softmax: dx = y·(dy − Σ dy·y). Where y only weighs values, o = y·v, that sum is Σ do·o, over the entries of a value and
// not over all keys (Dao et al. 2022, arXiv 2205.14135, App. B.2).
func softmax(s *sweep, n *onnx.Node) {
	axis := softmaxAxis(s, n)
	s.give(0, func() *onnx.Value {
		y := n.Outputs[0]
		if o := s.weighed(y); o != nil && (axis == -1 || axis == int64(len(y.Shape))-1) {
			sum := s.reduce("ReduceSum", s.mul(s.wide(s.gradient(o)), s.wide(o)), true, -1)
			return s.mul(s.lessRowwise(s.dy(0), s.cast(sum, y.Type)), y)
		}
		weighted := s.mul(s.dy(0), y)
		return s.sub(weighted, s.mul(y, s.reduce("ReduceSum", weighted, true, axis)))
	})
}

// lessRowwise is a less a number for each row of its last dimension, both as matrices: a GPU does that at the speed of its memory.
func (s *sweep) lessRowwise(a, row *onnx.Value) *onnx.Value {
	last := len(a.Shape) - 1
	shape := s.Op("Concat", []*onnx.Value{s.Ints(-1), s.sizeAt(a, last)}, onnx.Attrs{"axis": 0})
	matrix, column := s.op("Reshape", a, shape), s.op("Reshape", row, s.Ints(-1, 1))
	matrix.Shape = onnx.Shape{a.Shape[:last].Size(), a.Shape[last]}
	column.Shape = onnx.Shape{matrix.Shape[0], onnx.Const(1)}
	return s.reshape(s.sub(matrix, column), a)
}

// weighed is the product of y with a matrix from the right, if that alone reads y; else nil.
func (s *sweep) weighed(y *onnx.Value) *onnx.Value {
	if len(s.reads[y]) != 1 || s.reads[y][0] == nil {
		return nil
	}
	n := s.reads[y][0]
	product := n.Op == "MatMul" || n.Op == "FusedMatMul" && n.Int("transA", 0) == 0 && n.Int("transBatchA", 0) == 0
	if !product || n.Inputs[0] != y || n.Inputs[1] == y || len(n.Inputs[1].Shape) < 2 || len(y.Shape) < 2 {
		return nil
	}
	return n.Outputs[0]
}

// logSoftmax: dx = dy − exp(y)·Σ dy.
func logSoftmax(s *sweep, n *onnx.Node) {
	axis := softmaxAxis(s, n)
	s.give(0, func() *onnx.Value {
		return s.sub(s.dy(0), s.mul(s.op("Exp", n.Outputs[0]), s.reduce("ReduceSum", s.dy(0), true, axis)))
	})
}
