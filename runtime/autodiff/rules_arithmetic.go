package autodiff

import (
	"math"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Arithmetic, element by element.
func init() {
	register(func(s *sweep, n *onnx.Node) { // y = Σ xᵢ
		for i := range n.Inputs {
			s.give(i, func() *onnx.Value { return s.dy(0) })
		}
	}, "Add", "Sum")
	register(func(s *sweep, _ *onnx.Node) {
		s.give(0, func() *onnx.Value { return s.dy(0) })
		s.give(1, func() *onnx.Value { return s.neg(s.dy(0)) })
	}, "Sub")
	register(func(s *sweep, n *onnx.Node) {
		s.give(0, func() *onnx.Value { return s.mul(s.dy(0), n.Inputs[1]) })
		s.give(1, func() *onnx.Value { return s.mul(s.dy(0), n.Inputs[0]) })
	}, "Mul")
	register(func(s *sweep, n *onnx.Node) { // y = a/b: da = dy/b, db = −dy·y/b
		s.give(0, func() *onnx.Value { return s.div(s.dy(0), n.Inputs[1]) })
		s.give(1, func() *onnx.Value { return s.neg(s.div(s.mul(s.dy(0), n.Outputs[0]), n.Inputs[1])) })
	}, "Div")
	register(pow, "Pow")
	register(extreme, "Min", "Max")
	register(clip, "Clip")
	register(func(s *sweep, n *onnx.Node) {
		zero := s.Scalar(n.Outputs[0].Type, 0)
		s.give(1, func() *onnx.Value { return s.op("Where", n.Inputs[0], s.dy(0), zero) })
		s.give(2, func() *onnx.Value { return s.op("Where", n.Inputs[0], zero, s.dy(0)) })
	}, "Where")
	register(func(s *sweep, n *onnx.Node) {
		s.give(0, func() *onnx.Value { return s.cast(s.dy(0), n.Inputs[0].Type) })
	}, "Cast", "CastLike")
	unary("Identity", func(s *sweep, _, _, dy *onnx.Value) *onnx.Value { return dy })
	unary("Neg", func(s *sweep, _, _, dy *onnx.Value) *onnx.Value { return s.neg(dy) })
	unary("Exp", func(s *sweep, _, y, dy *onnx.Value) *onnx.Value { return s.mul(dy, y) })
	unary("Log", func(s *sweep, x, _, dy *onnx.Value) *onnx.Value { return s.div(dy, x) })
	unary("Sqrt", func(s *sweep, _, y, dy *onnx.Value) *onnx.Value { return s.div(s.times(0.5, dy), y) })
	unary("Abs", func(s *sweep, x, _, dy *onnx.Value) *onnx.Value { return s.mul(dy, s.op("Sign", x)) })
	unary("Reciprocal", func(s *sweep, _, y, dy *onnx.Value) *onnx.Value { return s.neg(s.mul(dy, s.mul(y, y))) })
	unary("Sin", func(s *sweep, x, _, dy *onnx.Value) *onnx.Value { return s.mul(dy, s.op("Cos", x)) })
	unary("Cos", func(s *sweep, x, _, dy *onnx.Value) *onnx.Value { return s.neg(s.mul(dy, s.op("Sin", x))) })
	registerConstant("Shape", "Size", "Floor", "Ceil", "Round", "Sign", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal",
		"And", "Or", "Xor", "Not", "IsNaN", "IsInf", "ArgMax", "ArgMin", "NonZero", "OneHot", "Range", "ConstantOfShape")
}

// unary registers an operator of one input: f gives dx from x, y and dy.
func unary(op string, f func(s *sweep, x, y, dy *onnx.Value) *onnx.Value) {
	register(func(s *sweep, n *onnx.Node) {
		s.give(0, func() *onnx.Value { return f(s, n.Inputs[0], n.Outputs[0], s.dy(0)) })
	}, op)
}

// pow: y = xᵖ, dx = dy·p·xᵖ⁻¹, dp = dy·y·ln x, 0 where x is not positive.
func pow(s *sweep, n *onnx.Node) {
	x, p, y := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	s.give(0, func() *onnx.Value {
		p := s.cast(p, x.Type)
		return s.mul(s.dy(0), s.mul(p, s.op("Pow", x, s.plus(p, -1))))
	})
	s.give(1, func() *onnx.Value {
		positive := s.op("Greater", x, s.Scalar(x.Type, 0))
		log := s.op("Log", s.op("Where", positive, x, s.Scalar(x.Type, 1)))
		return s.cast(s.mul(s.dy(0), s.mul(y, log)), p.Type)
	})
}

// extreme: the gradient goes to the inputs that are the result, in equal shares where there are several.
func extreme(s *sweep, n *onnx.Node) {
	y := n.Outputs[0]
	hits := make([]*onnx.Value, len(n.Inputs))
	var count *onnx.Value
	for i, x := range n.Inputs {
		hits[i] = s.cast(s.op("Equal", x, y), y.Type)
		if count == nil {
			count = hits[i]
		} else {
			count = s.op("Add", count, hits[i])
		}
	}
	share := s.div(s.dy(0), count)
	for i := range n.Inputs {
		s.give(i, func() *onnx.Value { return s.mul(share, hits[i]) })
	}
}

// clip: y = min(max(x, low), high). The gradient goes to whichever of the three y is.
func clip(s *sweep, n *onnx.Node) {
	x, y, zero := n.Inputs[0], n.Outputs[0], s.Scalar(n.Outputs[0].Type, 0)
	inside := s.op("Equal", x, y)
	s.give(0, func() *onnx.Value { return s.op("Where", inside, s.dy(0), zero) })
	clipped := s.op("Not", inside)
	if low := n.Input(1); low != nil {
		isLow := s.op("And", clipped, s.op("Equal", y, low))
		s.give(1, func() *onnx.Value { return s.op("Where", isLow, s.dy(0), zero) })
		clipped = s.op("And", clipped, s.op("Not", isLow))
	}
	if n.Input(2) != nil {
		s.give(2, func() *onnx.Value { return s.op("Where", clipped, s.dy(0), zero) })
	}
}

// twoOverRootPi is 2/√π.
var twoOverRootPi = 2 / math.Sqrt(math.Pi)
