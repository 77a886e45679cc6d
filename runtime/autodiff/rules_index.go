package autodiff

import (
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Picking and placing by index. What was picked is added back where it came from, duplicates in a fixed order.
func init() {
	register(gather, "Gather")
	register(func(s *sweep, n *onnx.Node) {
		y, axis := n.Outputs[0], n.Int("axis", 0)
		s.scatter(0, func(into *onnx.Value) *onnx.Value { return s.scatterAdd(into, n.Inputs[1], s.gradient(y), axis) })
	}, "GatherElements")
	register(func(s *sweep, n *onnx.Node) { // its places say where the largest came from
		values, places := n.Outputs[0], n.Outputs[1]
		s.scatter(0, func(into *onnx.Value) *onnx.Value {
			return s.scatterAdd(into, places, s.gradient(values), n.Int("axis", -1))
		})
	}, "TopK")
	register(scatterElements, "ScatterElements")
	register(gatherND, "GatherND")
}

// scatterAdd adds updates into a at indices along an axis. ScatterND would do it for whole rows, but adds duplicates
// from several threads at once, and loses some. The sum is of a's type, which the sweep has widened.
func (s *sweep) scatterAdd(a, indices, updates *onnx.Value, axis int64) *onnx.Value {
	return s.Op("ScatterElements", []*onnx.Value{a, indices, s.cast(updates, a.Type)}, onnx.Attrs{"axis": axis, "reduction": "add"})
}

// gather picks slices of x along an axis. Where the node names an input that holds the inverse of its indices (each slice's
// place in the result, or one past the last), no duplicates exist and the gradient is a gather itself.
func gather(s *sweep, n *onnx.Node) {
	x, indices, y := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	rank := int64(len(x.Shape))
	axis := (n.Int("axis", 0) + rank) % rank
	if name := n.Meta["inverse"]; name != "" && axis == 0 {
		inverse := s.Graph().Input(name)
		if inverse == nil {
			s.Fail("node %s: the graph has no input %s to invert it by", n.Name, name)
		}
		s.give(0, func() *onnx.Value { return s.ungather(s.dy(0), x, inverse) })
		return
	}
	s.scatter(0, func(into *onnx.Value) *onnx.Value {
		updates := s.mergeAxes(s.gradient(y), x, axis, int64(len(indices.Shape)))
		places := s.op("Reshape", indices, s.Ints(append(append(slices.Repeat([]int64{1}, int(axis)), -1), slices.Repeat([]int64{1}, int(rank-axis-1))...)...))
		return s.scatterAdd(into, s.op("Expand", places, s.op("Shape", updates)), updates, axis)
	})
}

// mergeAxes makes the axes of d that the indices brought, from axis on, into one: the rest is as in x.
func (s *sweep) mergeAxes(d, x *onnx.Value, axis, brought int64) *onnx.Value {
	if brought == 1 {
		return d
	}
	if brought == 0 {
		return s.unsqueeze(d, axis)
	}
	parts := []*onnx.Value{s.Ints(-1)}
	if axis > 0 {
		parts = slices.Insert(parts, 0, s.Ints(make([]int64, axis)...)) // 0 copies
	}
	for i := int(axis) + 1; i < len(x.Shape); i++ {
		parts = append(parts, s.sizeAt(x, i))
	}
	target := parts[0]
	if len(parts) > 1 {
		target = s.Op("Concat", parts, onnx.Attrs{"axis": 0})
	}
	return s.op("Reshape", d, target)
}

// ungather picks each row of x from the rows of d, or zeros where no row of d is its.
func (s *sweep) ungather(d, x, inverse *onnx.Value) *onnx.Value {
	target := []int64{-1}
	zero := []int64{1}
	for _, size := range x.Shape[1:] {
		n, ok := size.Const()
		if !ok {
			s.Fail("node %s: rows of %s%s are of no fixed size", s.node.Name, x.Name, x.Shape)
		}
		target, zero = append(target, n), append(zero, n)
	}
	row := onnx.Dims(zero...).Size()
	count, _ := row.Const()
	zeros, err := onnx.FloatTensor(x.Type, make([]float64, count), zero...)
	if err != nil {
		s.Fail("%w", err)
	}
	rows := s.Op("Concat", []*onnx.Value{s.op("Reshape", d, s.Ints(target...)), s.Constant(zeros)}, onnx.Attrs{"axis": 0})
	out := s.Op("Gather", []*onnx.Value{rows, inverse}, nil)
	out.Shape = x.Shape
	return out
}

// scatterElements: what was added came from the updates; what was overwritten has no gradient.
func scatterElements(s *sweep, n *onnx.Node) {
	axis, indices := n.Int("axis", 0), n.Inputs[1]
	switch reduction := n.Text("reduction", "none"); reduction {
	case "add":
		s.give(0, func() *onnx.Value { return s.dy(0) })
	case "none":
		s.give(0, func() *onnx.Value {
			return s.Op("ScatterElements", []*onnx.Value{s.dy(0), indices, s.zeros(n.Inputs[2])}, onnx.Attrs{"axis": axis})
		})
	default:
		s.Fail("node %s: ScatterElements by %s has no gradient rule", n.Name, reduction)
	}
	s.give(2, func() *onnx.Value {
		return s.Op("GatherElements", []*onnx.Value{s.dy(0), indices}, onnx.Attrs{"axis": axis})
	})
}

// gatherND: with b batch dimensions, indices [b…, i…, k] pick slices of x [b…, k…, rest…]. The same node applied to
// 0, 1, 2, … says where each element came from.
func gatherND(s *sweep, n *onnx.Node) {
	x, y := n.Inputs[0], n.Outputs[0]
	s.scatter(0, func(into *onnx.Value) *onnx.Value {
		numbers := s.op("Reshape", s.op("Range", s.intScalar(0), s.op("Size", x), s.intScalar(1)), s.shapeOf(x))
		places := s.Op("GatherND", []*onnx.Value{numbers, n.Inputs[1]}, n.Attrs)
		return s.reshape(s.scatterAdd(s.flat(into), s.flat(places), s.flat(s.gradient(y)), 0), x)
	})
}
