package onnx

import (
	"errors"
	"fmt"
	"slices"
)

// Products, reductions, comparisons, and what makes numbers out of few.
func init() {
	register(2, matMul, "MatMul", Microsoft+":FusedMatMul")
	register(2, gemm, "Gemm")
	register(1, reduce, "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare", "ReduceL1",
		"ReduceL2", "ReduceLogSum", "ReduceLogSumExp")
	register(2, compare, "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "And", "Or", "Xor")
	register(1, toBool, "IsNaN", "IsInf")
	register(1, cast, "Cast")
	register(2, castLike, "CastLike")
	register(3, rangeOf, "Range")
	register(1, constantOfShape, "ConstantOfShape")
	register(1, sameAsFirst, "CumSum", "Trilu", "BitwiseNot", "Hardmax", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh",
		"Sinh", "Tan")
	register(1, elementwise, "Sum", "Mean")
	register(2, elementwise, "Mod", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift", "PRelu")
}

// matMul multiplies the last two dimensions and broadcasts the others, as NumPy does; the fused operator may swap them
// first.
func matMul(n *Node, _ int64) error {
	a, b, out := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	out.Type = a.Type
	if a.Type != b.Type {
		return fmt.Errorf("types %s and %s differ", a.Type, b.Type)
	}
	if a.Shape == nil || b.Shape == nil {
		return nil
	}
	if len(a.Shape) == 0 || len(b.Shape) == 0 {
		return errors.New("a scalar is no matrix")
	}
	if n.Int("transBatchA", 0) != 0 || n.Int("transBatchB", 0) != 0 {
		return errors.New("transBatchA and transBatchB are not supported")
	}
	x, y := matrix(a.Shape, n.Int("transA", 0) != 0, 0), matrix(b.Shape, n.Int("transB", 0) != 0, 1)
	if differ(x[len(x)-1], y[len(y)-2]) {
		return fmt.Errorf("inner sizes %s and %s differ", x[len(x)-1], y[len(y)-2])
	}
	lead, err := Broadcast(x[:len(x)-2], y[:len(y)-2])
	if err != nil {
		return err
	}
	out.Shape = slices.Clone(lead)
	if len(a.Shape) > 1 {
		out.Shape = append(out.Shape, x[len(x)-2])
	}
	if len(b.Shape) > 1 {
		out.Shape = append(out.Shape, y[len(y)-1])
	}
	if out.Shape == nil {
		out.Shape = Shape{}
	}
	return nil
}

// matrix gives a vector the dimension that it lacks, and swaps the last two.
func matrix(s Shape, transposed bool, missing int) Shape {
	if len(s) == 1 {
		return slices.Insert(slices.Clone(s), missing, Const(1))
	}
	s = slices.Clone(s)
	if i := len(s); transposed {
		s[i-1], s[i-2] = s[i-2], s[i-1]
	}
	return s
}

func gemm(n *Node, _ int64) error {
	a, b, out := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	out.Type = a.Type
	if a.Type != b.Type {
		return fmt.Errorf("types %s and %s differ", a.Type, b.Type)
	}
	if a.Shape == nil || b.Shape == nil {
		return nil
	}
	if len(a.Shape) != 2 || len(b.Shape) != 2 {
		return errors.New("both factors must be matrices")
	}
	x, y := matrix(a.Shape, n.Int("transA", 0) != 0, 0), matrix(b.Shape, n.Int("transB", 0) != 0, 0)
	if differ(x[1], y[0]) {
		return fmt.Errorf("inner sizes %s and %s differ", x[1], y[0])
	}
	out.Shape = Shape{x[0], y[1]}
	if c := n.Input(2); c != nil {
		if _, err := Broadcast(out.Shape, c.Shape); err != nil {
			return err
		}
	}
	return nil
}

func reduce(n *Node, _ int64) error {
	values, found, absent := ints(n, 1, "axes")
	if !found && !absent {
		out := n.Outputs[0]
		out.Type = n.Inputs[0].Type
		if n.Inputs[0].Shape != nil && n.Int("keepdims", 1) != 0 {
			out.Shape = unknowns(n, 0, len(n.Inputs[0].Shape))
		}
		return nil
	}
	if len(values) == 0 && n.Int("noop_with_empty_axes", 0) != 0 {
		return sameAsFirst(n, 0)
	}
	return reduced(n, values, n.Inputs[0].Type)
}

// reduced drops the axes, or makes them 1; no axes mean all of them.
func reduced(n *Node, values []int64, t DType) error {
	x, out := n.Inputs[0], n.Outputs[0]
	out.Type = t
	if x.Shape == nil {
		return nil
	}
	at, err := axes(values, len(x.Shape))
	if err != nil {
		return err
	}
	out.Shape = Shape{}
	for i, d := range x.Shape {
		switch {
		case len(values) > 0 && !slices.Contains(at, i):
			out.Shape = append(out.Shape, d)
		case n.Int("keepdims", 1) != 0:
			out.Shape = append(out.Shape, Const(1))
		}
	}
	return nil
}

func compare(n *Node, _ int64) error {
	if n.Inputs[0].Type != n.Inputs[1].Type {
		return fmt.Errorf("types %s and %s differ", n.Inputs[0].Type, n.Inputs[1].Type)
	}
	s, err := Broadcast(n.Inputs[0].Shape, n.Inputs[1].Shape)
	n.Outputs[0].Type, n.Outputs[0].Shape = Bool, s
	if n.Op == "Equal" {
		n.Outputs[0].Elems = equalElems(n.Inputs[0].Elems, n.Inputs[1].Elems)
	}
	return err
}

// equalElems says of sizes whether they are equal, as 1 and 0; nil where that is not known of all.
func equalElems(a, b []Dim) []Dim {
	if len(a) != len(b) || a == nil {
		return nil
	}
	out := make([]Dim, len(a))
	for i := range a {
		switch {
		case a[i].Equal(b[i]):
			out[i] = Const(1)
		case !a[i].Sub(b[i]).nonzero():
			return nil
		}
	}
	return out
}

func toBool(n *Node, _ int64) error {
	n.Outputs[0].Type, n.Outputs[0].Shape = Bool, n.Inputs[0].Shape
	return nil
}

func cast(n *Node, _ int64) error {
	out := n.Outputs[0]
	out.Type, out.Shape = DType(n.Int("to", 0)), n.Inputs[0].Shape
	if _, known := dtypes[out.Type]; !known {
		return fmt.Errorf("element type %s is not supported", out.Type)
	}
	if out.Type == Int64 || out.Type == Int32 {
		out.Elems = n.Inputs[0].Elems
	}
	return nil
}

func castLike(n *Node, _ int64) error {
	n.Outputs[0].Type, n.Outputs[0].Shape = n.Inputs[1].Type, n.Inputs[0].Shape
	return nil
}

func rangeOf(n *Node, _ int64) error {
	out := n.Outputs[0]
	out.Type = n.Inputs[0].Type
	out.Shape = unknowns(n, 0, 1)
	from, to, by := n.Inputs[0].Elems, n.Inputs[1].Elems, n.Inputs[2].Elems
	if len(from) == 1 && len(to) == 1 && len(by) == 1 {
		a, ok1 := from[0].Const()
		b, ok2 := to[0].Const()
		step, ok3 := by[0].Const()
		switch {
		case ok3 && step == 1:
			out.Shape[0] = to[0].Sub(from[0])
		case ok1 && ok2 && ok3 && step > 0:
			out.Shape[0] = Const(max(0, (b-a+step-1)/step))
		case ok1 && ok2 && ok3 && step < 0:
			out.Shape[0] = Const(max(0, (a-b-step-1)/-step))
		}
	}
	return nil
}

func constantOfShape(n *Node, _ int64) error {
	out := n.Outputs[0]
	out.Type = Float32
	if v, ok := n.Attrs["value"].(*Tensor); ok {
		out.Type = v.Type
	}
	if target := n.Inputs[0]; target.Elems != nil {
		out.Shape = slices.Clone(Shape(target.Elems))
		if out.Shape == nil {
			out.Shape = Shape{}
		}
		out.Elems = repeatedElems(n, out.Shape)
	} else if rank, ok := vectorLength(target); ok {
		out.Shape = unknowns(n, 0, rank)
	}
	return nil
}

// repeatedElems are those of a short vector of one integer.
func repeatedElems(n *Node, shape Shape) []Dim {
	v, _ := n.Attrs["value"].(*Tensor)
	count, ok := vectorLength(&Value{Shape: shape})
	if v == nil || v.Type != Int64 || v.Count() != 1 || !ok {
		return nil
	}
	x, err := v.Ints()
	if err != nil {
		return nil
	}
	return slices.Repeat([]Dim{Const(x[0])}, count)
}
