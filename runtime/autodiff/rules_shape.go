package autodiff

import (
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Operators that move elements. Their gradients move them back.
func init() {
	register(func(s *sweep, n *onnx.Node) {
		s.give(0, func() *onnx.Value { return s.reshape(s.dy(0), n.Inputs[0]) })
	}, "Reshape", "Squeeze", "Unsqueeze", "Flatten")
	register(func(s *sweep, _ *onnx.Node) { // give sums over what was repeated
		s.give(0, func() *onnx.Value { return s.dy(0) })
	}, "Expand")
	register(transpose, "Transpose")
	register(concat, "Concat")
	register(split, "Split")
	register(slice, "Slice")
	register(tile, "Tile")
	register(pad, "Pad")
	register(func(s *sweep, n *onnx.Node) {
		s.give(0, func() *onnx.Value {
			return s.Op("Trilu", append([]*onnx.Value{s.dy(0)}, n.Inputs[1:]...), onnx.Attrs{"upper": n.Int("upper", 1)})
		})
	}, "Trilu")
	register(rotary, onnx.Microsoft+":RotaryEmbedding")
}

func transpose(s *sweep, n *onnx.Node) {
	s.give(0, func() *onnx.Value {
		perm := n.IntList("perm")
		if perm == nil {
			return s.op("Transpose", s.dy(0))
		}
		inverse := make([]int64, len(perm))
		for i, p := range perm {
			inverse[(p+int64(len(perm)))%int64(len(perm))] = int64(i)
		}
		return s.Op("Transpose", []*onnx.Value{s.dy(0)}, onnx.Attrs{"perm": inverse})
	})
}

func concat(s *sweep, n *onnx.Node) {
	axis := n.Int("axis", 0)
	at := axis
	if at < 0 {
		at += int64(len(n.Outputs[0].Shape))
	}
	var sizes []*onnx.Value
	for _, v := range n.Inputs {
		sizes = append(sizes, s.sizeAt(v, int(at)))
	}
	parts := s.Node(&onnx.Node{Op: "Split", Inputs: []*onnx.Value{s.dy(0), s.Op("Concat", sizes, onnx.Attrs{"axis": 0})},
		Attrs: onnx.Attrs{"axis": axis}}, len(n.Inputs))
	for i := range n.Inputs {
		s.give(i, func() *onnx.Value { return parts[i] })
	}
}

// sizeAt is one dimension of v as a vector of one.
func (s *sweep) sizeAt(v *onnx.Value, at int) *onnx.Value {
	if _, fixed := v.Shape[at].Const(); !fixed {
		if of, _ := s.inputWith(v.Shape[at]); of == nil {
			return s.Op("Shape", []*onnx.Value{v}, onnx.Attrs{"start": at, "end": at + 1})
		}
	}
	return s.sizes(v.Shape[at:at+1], v)
}

func split(s *sweep, n *onnx.Node) {
	s.give(0, func() *onnx.Value {
		parts := make([]*onnx.Value, len(n.Outputs))
		for i, y := range n.Outputs {
			if parts[i] = s.dy(i); parts[i] == nil {
				parts[i] = s.zeros(y)
			}
		}
		return s.Op("Concat", parts, onnx.Attrs{"axis": n.Int("axis", 0)})
	})
}

// slice: the same slice of 0, 1, 2, … says where each element came from.
func slice(s *sweep, n *onnx.Node) {
	x, y := n.Inputs[0], n.Outputs[0]
	s.scatter(0, func(into *onnx.Value) *onnx.Value {
		dy := s.gradient(y)
		count := s.op("Size", x)
		numbers := s.op("Reshape", s.op("Range", s.intScalar(0), count, s.intScalar(1)), s.shapeOf(x))
		places := s.Op("Slice", append([]*onnx.Value{numbers}, n.Inputs[1:]...), n.Attrs)
		flat := s.scatterAdd(s.flat(into), s.flat(places), s.flat(dy), 0)
		return s.reshape(flat, x)
	})
}

func (s *sweep) intScalar(x int64) *onnx.Value {
	return s.Constant(&onnx.Tensor{Type: onnx.Int64, Dims: []int64{}, Data: onnx.IntTensor([]int64{x}).Data})
}

func (s *sweep) flat(a *onnx.Value) *onnx.Value { return s.op("Reshape", a, s.Ints(-1)) }

// tile: [d₀, d₁, …] repeated [r₀, r₁, …] times is [r₀, d₀, r₁, d₁, …], summed over the repeats.
func tile(s *sweep, n *onnx.Node) {
	s.give(0, func() *onnx.Value {
		x := n.Inputs[0]
		var parts []*onnx.Value
		var axes []int64
		for i := range x.Shape {
			parts = append(parts, s.op("Slice", n.Inputs[1], s.Ints(int64(i)), s.Ints(int64(i+1))), s.sizeAt(x, i))
			axes = append(axes, int64(2*i))
		}
		if parts == nil {
			return s.dy(0)
		}
		d := s.op("Reshape", s.dy(0), s.Op("Concat", parts, onnx.Attrs{"axis": 0}))
		if d.Shape == nil {
			d.Shape = make(onnx.Shape, len(parts))
		}
		return s.reduce("ReduceSum", d, false, axes...)
	})
}

// pad takes off what was put on; the number that was put on has the rest of the gradient.
func pad(s *sweep, n *onnx.Node) {
	if mode := n.Text("mode", "constant"); mode != "constant" {
		s.Fail("node %s: padding by %s has no gradient rule", n.Name, mode)
	}
	inputs := []*onnx.Value{s.dy(0), s.op("Neg", n.Inputs[1])}
	if axes := n.Input(3); axes != nil {
		inputs = append(inputs, s.Scalar(n.Inputs[0].Type, 0), axes)
	}
	d := s.Op("Pad", inputs, nil)
	d.Shape = n.Inputs[0].Shape
	s.give(0, func() *onnx.Value { return d })
	if n.Input(2) != nil {
		s.give(2, func() *onnx.Value {
			all := func(x *onnx.Value) *onnx.Value { return s.Op("ReduceSum", []*onnx.Value{x}, onnx.Attrs{"keepdims": 0}) }
			return s.reshape(s.sub(all(s.dy(0)), all(d)), n.Inputs[2])
		})
	}
}

// rotary turns back: the same rotation with −sin.
func rotary(s *sweep, n *onnx.Node) {
	s.give(0, func() *onnx.Value {
		inputs := slices.Clone(n.Inputs)
		inputs[0], inputs[3] = s.dy(0), s.neg(n.Inputs[3])
		return s.Node(&onnx.Node{Op: n.Op, Domain: n.Domain, Inputs: inputs, Attrs: n.Attrs}, 1)[0]
	})
}
