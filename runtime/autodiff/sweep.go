package autodiff

import (
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// sweep is the state of a reverse pass. It is also the builder that rules write their formulas with.
type sweep struct {
	*onnx.Builder
	needed map[*onnx.Value]bool
	sums   map[*onnx.Value]*sum
	reads  map[*onnx.Value][]*onnx.Node // of the forward pass: who reads a value
	node   *onnx.Node
}

// sum is a value's gradient so far. Contributions by index wait, so that they are added into the sum of the others and not
// into zeros of their own.
type sum struct {
	dense    *onnx.Value
	scatters []func(into *onnx.Value) *onnx.Value
}

func (s *sweep) visit(n *onnx.Node) {
	if !slices.ContainsFunc(n.Inputs, func(v *onnx.Value) bool { return s.needed[v] }) {
		return
	}
	if !slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return s.gradient(v) != nil }) {
		return
	}
	s.node = n
	rules[key(n)](s, n)
}

// dy is the gradient of output i of the node that is visited; nil where nothing depends on it.
func (s *sweep) dy(i int) *onnx.Value {
	if i >= len(s.node.Outputs) {
		return nil
	}
	return s.gradient(s.node.Outputs[i])
}

// give contributes to the gradient of input i, where f is not run if nobody asks. What broadcasting repeated is summed. The gradient is
// of the input's type; only where that was cast from a wider one may it be as wide.
func (s *sweep) give(i int, f func() *onnx.Value) {
	if v := s.node.Input(i); s.needed[v] {
		if d := f(); d != nil {
			s.add(v, s.kept(v, s.unbroadcast(d, v.Shape)))
		}
	}
}

// kept is a contribution to the gradient of v in the type that it is kept in.
func (s *sweep) kept(v, d *onnx.Value) *onnx.Value {
	if v.Node != nil && v.Node.Op == "Cast" {
		return d
	}
	return s.cast(d, v.Type)
}

// soFar is what the gradient of input i sums up to already, nil for nothing; replace puts a sum that holds it in its place.
func (s *sweep) soFar(i int) *onnx.Value {
	v := s.node.Input(i)
	if !s.needed[v] || s.sums[v] == nil {
		return nil
	}
	return s.sums[v].dense
}

func (s *sweep) replace(i int, sum *onnx.Value) { s.sums[s.node.Input(i)].dense = sum }

// scatter contributes to the gradient of input i by adding into what the others sum up to.
func (s *sweep) scatter(i int, f func(into *onnx.Value) *onnx.Value) {
	if v := s.node.Input(i); s.needed[v] {
		s.of(v).scatters = append(s.of(v).scatters, f)
	}
}

func (s *sweep) of(v *onnx.Value) *sum {
	if s.sums[v] == nil {
		s.sums[v] = &sum{}
	}
	return s.sums[v]
}

func (s *sweep) add(v, d *onnx.Value) {
	to := s.of(v)
	switch {
	case to.dense == nil:
		to.dense = d
	case to.dense.Type == d.Type:
		to.dense = s.op("Add", to.dense, d)
	default:
		to.dense = s.op("Add", s.wide(to.dense), s.wide(d))
	}
}

// gradient settles the gradient of v; nil where there is none.
func (s *sweep) gradient(v *onnx.Value) *onnx.Value {
	of := s.sums[v]
	if of == nil {
		return nil
	}
	if of.scatters == nil {
		return of.dense
	}
	into := s.zerosLike(v, wideType(v.Type))
	if of.dense != nil {
		into = s.wide(of.dense)
	}
	for _, f := range of.scatters {
		into = f(into)
	}
	of.dense, of.scatters = s.kept(v, into), nil
	return of.dense
}

// zeros has the type and shape of v.
func (s *sweep) zeros(v *onnx.Value) *onnx.Value { return s.zerosLike(v, v.Type) }

// zerosLike has the shape of v.
func (s *sweep) zerosLike(v *onnx.Value, t onnx.DType) *onnx.Value {
	zero, err := onnx.FloatTensor(t, []float64{0})
	if err != nil {
		s.Fail("%w", err)
	}
	return s.Op("ConstantOfShape", []*onnx.Value{s.shapeOf(v)}, onnx.Attrs{"value": zero})
}

// unbroadcast sums d over the dimensions that broadcasting gave it beyond shape.
func (s *sweep) unbroadcast(d *onnx.Value, shape onnx.Shape) *onnx.Value {
	if shape == nil || d.Shape == nil {
		s.Fail("node %s: a rank is not known, so broadcasting cannot be undone", s.node.Name)
	}
	lead := len(d.Shape) - len(shape)
	if lead > 0 {
		d = s.reduce("ReduceSum", s.wide(d), false, firstAxes(lead)...)
	}
	var stretched []int64
	for i, size := range shape {
		if !size.Equal(d.Shape[i]) && size.Unknown() {
			s.Fail("node %s: whether dimension %d of an input %s is 1 is not known, so broadcasting cannot be undone", s.node.Name, i, shape)
		}
		if size.Is(1) && !d.Shape[i].Is(1) {
			stretched = append(stretched, int64(i))
		}
	}
	if stretched != nil {
		d = s.reduce("ReduceSum", s.wide(d), true, stretched...)
	}
	return d
}

func firstAxes(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(i)
	}
	return out
}

// The pieces that formulas are made of.

func (s *sweep) op(name string, inputs ...*onnx.Value) *onnx.Value { return s.Op(name, inputs, nil) }

func (s *sweep) sub(a, b *onnx.Value) *onnx.Value { return s.op("Sub", a, b) }
func (s *sweep) div(a, b *onnx.Value) *onnx.Value { return s.op("Div", a, b) }
func (s *sweep) neg(a *onnx.Value) *onnx.Value    { return s.op("Neg", a) }

// mul repeats by itself what one side was expanded by to the other's shape, and so saves a pass over memory.
func (s *sweep) mul(a, b *onnx.Value) *onnx.Value {
	return s.op("Mul", unexpanded(a, b.Shape), unexpanded(b, a.Shape))
}

// unexpanded is what v was expanded from, if a product with a value of that shape expands it anyway.
func unexpanded(v *onnx.Value, other onnx.Shape) *onnx.Value {
	if v.Node != nil && v.Node.Op == "Expand" && v.Shape != nil && v.Shape.Equal(other) {
		return v.Node.Inputs[0]
	}
	return v
}

// times is c·a, plus is a + c.
func (s *sweep) times(c float64, a *onnx.Value) *onnx.Value { return s.mul(a, s.Scalar(a.Type, c)) }
func (s *sweep) plus(a *onnx.Value, c float64) *onnx.Value {
	return s.op("Add", a, s.Scalar(a.Type, c))
}

func (s *sweep) reduce(name string, a *onnx.Value, keep bool, axes ...int64) *onnx.Value {
	return s.Op(name, []*onnx.Value{a, s.Ints(axes...)}, onnx.Attrs{"keepdims": keep})
}

func (s *sweep) cast(a *onnx.Value, t onnx.DType) *onnx.Value {
	if a.Type == t {
		return a
	}
	return s.Op("Cast", []*onnx.Value{a}, onnx.Attrs{"to": int64(t)})
}

// wide is a, in float32 where its type is of half precision: what sums are made of.
func (s *sweep) wide(a *onnx.Value) *onnx.Value {
	return s.cast(a, wideType(a.Type))
}

func wideType(t onnx.DType) onnx.DType {
	if t == onnx.Float16 || t == onnx.BFloat16 {
		return onnx.Float32
	}
	return t
}

// shapeOf is v's shape as a vector.
func (s *sweep) shapeOf(v *onnx.Value) *onnx.Value { return s.sizes(v.Shape, v) }

// sizes makes a vector of dimensions. A size that is not fixed is read off a graph input that has it, so that no
// intermediate value must be kept for its shape alone; else off like, whose dimension it is.
func (s *sweep) sizes(shape onnx.Shape, like *onnx.Value) *onnx.Value {
	var parts []*onnx.Value
	var fixed []int64
	flush := func() {
		if fixed != nil {
			parts = append(parts, s.Ints(fixed...))
			fixed = nil
		}
	}
	for i, d := range shape {
		if n, ok := d.Const(); ok {
			fixed = append(fixed, n)
			continue
		}
		flush()
		of, at := s.inputWith(d)
		if of == nil {
			of, at = like, i
		}
		parts = append(parts, s.Op("Shape", []*onnx.Value{of}, onnx.Attrs{"start": at, "end": at + 1}))
	}
	flush()
	switch len(parts) {
	case 0:
		return s.Ints()
	case 1:
		return parts[0]
	}
	return s.Op("Concat", parts, onnx.Attrs{"axis": 0})
}

// inputWith finds an integer input of the graph with a dimension d: those are small and always there.
func (s *sweep) inputWith(d onnx.Dim) (*onnx.Value, int) {
	for _, in := range s.Graph().Inputs {
		if in.Type == onnx.Int64 {
			if i := slices.IndexFunc(in.Shape, d.Equal); i >= 0 {
				return in, i
			}
		}
	}
	return nil, 0
}

// reshape gives d the shape of v. Where one dimension alone is unknown, no Shape node is needed, and v need not be kept
// for it.
func (s *sweep) reshape(d, v *onnx.Value) *onnx.Value {
	if d.Shape.Equal(v.Shape) {
		return d
	}
	target, open := make([]int64, len(v.Shape)), 0
	for i, size := range v.Shape {
		n, ok := size.Const()
		switch {
		case ok && n > 0:
			target[i] = n
		case i < len(d.Shape) && d.Shape[i].Equal(size):
			target[i] = 0 // copied
		default:
			target[i] = -1
			open++
		}
	}
	if open <= 1 {
		out := s.op("Reshape", d, s.Ints(target...))
		out.Shape = v.Shape
		return out
	}
	return s.op("Reshape", d, s.shapeOf(v))
}
