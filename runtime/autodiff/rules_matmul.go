package autodiff

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// Matrix products.
func init() {
	register(gemm, "Gemm")
	register(matMul, "MatMul", onnx.Microsoft+":FusedMatMul")
}

// gemm: y = α·A·B + β·C with A and B as they are or transposed. A left factor is transposed in memory: that takes a
// twentieth of the product, which then runs a fifth faster on the CPU. A node of metadata "rank": "low" is a product to or from few
// columns, bound by memory: of two factors the one with few columns is transposed, and dA starts from what it is added to.
func gemm(s *sweep, n *onnx.Node) {
	a, b, dy := n.Inputs[0], n.Inputs[1], s.dy(0)
	transA, transB, low := n.Int("transA", 0) != 0, n.Int("transB", 0) != 0, n.Meta["rank"] == "low"
	product := func(x *onnx.Value, transX bool, y *onnx.Value, transY bool, plus ...*onnx.Value) *onnx.Value {
		attrs := onnx.Attrs{"alpha": n.Float("alpha", 1)}
		if transX {
			x = s.transposed(x)
		}
		if transY {
			attrs["transB"] = 1
		}
		return s.Op("Gemm", append([]*onnx.Value{x, y}, plus...), attrs)
	}
	da := func(plus ...*onnx.Value) *onnx.Value {
		if transA {
			return product(b, transB, dy, true, plus...)
		}
		return product(dy, false, b, !transB, plus...)
	}
	if sum := s.soFar(0); low && sum != nil && sum.Type == dy.Type {
		s.replace(0, da(sum))
	} else {
		s.give(0, func() *onnx.Value { return da() })
	}
	s.give(1, func() *onnx.Value {
		switch {
		case !transB:
			return product(a, !transA, dy, false)
		case low && !transA && fewer(a.Shape[1], dy.Shape[1]):
			return s.transposed(product(a, true, dy, false))
		}
		return product(dy, true, a, transA)
	})
	if n.Input(2) != nil {
		s.give(2, func() *onnx.Value {
			if beta := n.Float("beta", 1); beta != 1 {
				return s.times(float64(beta), dy)
			}
			return dy
		})
	}
}

func (s *sweep) transposed(matrix *onnx.Value) *onnx.Value {
	return s.Op("Transpose", []*onnx.Value{matrix}, onnx.Attrs{"perm": []int64{1, 0}})
}

// fewer reports whether a is known, and b either is more or is not.
func fewer(a, b onnx.Dim) bool {
	few, known := a.Const()
	many, fixed := b.Const()
	return known && (!fixed || few < many)
}

// matMul is gemm over stacks of matrices: the stacks broadcast, and give sums over what was repeated. A vector counts
// as a matrix of one row or column.
func matMul(s *sweep, n *onnx.Node) {
	transA, transB := n.Int("transA", 0) != 0, n.Int("transB", 0) != 0
	a, b, dy := n.Inputs[0], n.Inputs[1], s.dy(0)
	rowA, columnB := len(a.Shape) == 1, len(b.Shape) == 1
	if columnB {
		b, dy = s.unsqueeze(b, -1), s.unsqueeze(dy, -1)
	}
	if rowA {
		a, dy = s.unsqueeze(a, 0), s.unsqueeze(dy, -2)
	}
	product := func(x *onnx.Value, transX bool, y *onnx.Value, transY bool) *onnx.Value {
		return s.Node(&onnx.Node{Op: "FusedMatMul", Domain: onnx.Microsoft, Inputs: []*onnx.Value{x, y},
			Attrs: onnx.Attrs{"transA": transX, "transB": transY, "alpha": n.Float("alpha", 1)}}, 1)[0]
	}
	s.give(0, func() *onnx.Value {
		var da *onnx.Value
		if transA {
			da = product(b, transB, dy, true)
		} else {
			da = product(dy, false, b, !transB)
		}
		if rowA {
			return s.Op("Squeeze", []*onnx.Value{da, s.Ints(-2)}, nil)
		}
		return da
	})
	s.give(1, func() *onnx.Value {
		var db *onnx.Value
		if transB {
			db = product(dy, true, a, transA)
		} else {
			db = product(a, !transA, dy, false)
		}
		if columnB {
			return s.Op("Squeeze", []*onnx.Value{db, s.Ints(-1)}, nil)
		}
		return db
	})
}

func (s *sweep) unsqueeze(a *onnx.Value, axis int64) *onnx.Value {
	return s.op("Unsqueeze", a, s.Ints(axis))
}
