package autodiff

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// Reductions, running sums and normalisations.
func init() {
	reduction("ReduceSum", func(s *sweep, x, _, dy *onnx.Value) *onnx.Value { return s.op("Expand", dy, s.shapeOf(x)) })
	reduction("ReduceMean", func(s *sweep, x, y, dy *onnx.Value) *onnx.Value {
		return s.op("Expand", s.div(dy, s.ratio(x, y)), s.shapeOf(x))
	})
	reduction("ReduceMax", extremeOf)
	reduction("ReduceMin", extremeOf)
	reduction("ReduceSumSquare", func(s *sweep, x, _, dy *onnx.Value) *onnx.Value { return s.mul(s.times(2, dy), x) })
	reduction("ReduceL1", func(s *sweep, x, _, dy *onnx.Value) *onnx.Value { return s.mul(dy, s.op("Sign", x)) })
	reduction("ReduceL2", func(s *sweep, x, y, dy *onnx.Value) *onnx.Value { return s.mul(s.div(dy, y), x) })
	reduction("ReduceLogSum", func(s *sweep, x, y, dy *onnx.Value) *onnx.Value {
		return s.op("Expand", s.div(dy, s.op("Exp", y)), s.shapeOf(x))
	})
	reduction("ReduceLogSumExp", func(s *sweep, x, y, dy *onnx.Value) *onnx.Value { return s.mul(dy, s.op("Exp", s.sub(x, y))) })
	register(cumSum, "CumSum")
	register(rmsNorm, "SimplifiedLayerNormalization", "RMSNormalization")
	register(layerNorm, "LayerNormalization")
}

// reduction registers an operator that reduces axes; f gives dx from x and from y and dy with those axes as 1.
func reduction(op string, f func(s *sweep, x, y, dy *onnx.Value) *onnx.Value) {
	register(func(s *sweep, n *onnx.Node) {
		s.give(0, func() *onnx.Value {
			x, y, dy := n.Inputs[0], n.Outputs[0], s.dy(0)
			if n.Int("keepdims", 1) == 0 {
				axes := reducedAxes(s, n)
				y, dy = s.op("Unsqueeze", y, axes), s.op("Unsqueeze", dy, axes)
			}
			return f(s, x, y, dy)
		})
	}, op)
}

// reducedAxes are the axes that a node reduces, as a vector.
func reducedAxes(s *sweep, n *onnx.Node) *onnx.Value {
	if v := n.Input(1); v != nil && !v.Shape.Equal(onnx.Dims(0)) {
		return v
	}
	if list := n.IntList("axes"); len(list) > 0 {
		return s.Ints(list...)
	}
	return s.Ints(firstAxes(len(n.Inputs[0].Shape))...)
}

// ratio is how many elements of x go into one of y, in x's type.
func (s *sweep) ratio(x, y *onnx.Value) *onnx.Value {
	if n, ok := x.Shape.Size().Div(y.Shape.Size()); ok {
		if fixed, ok := n.Const(); ok {
			return s.Scalar(x.Type, float64(fixed))
		}
	}
	return s.cast(s.div(s.op("Size", x), s.op("Size", y)), x.Type)
}

// extremeOf: in equal shares to all elements that are the extreme. With dims as 1, counts are sums over the same axes.
func extremeOf(s *sweep, x, y, dy *onnx.Value) *onnx.Value {
	hit := s.cast(s.op("Equal", x, y), x.Type)
	return s.mul(s.div(dy, s.unbroadcast(hit, y.Shape)), hit)
}

// cumSum runs the other way.
func cumSum(s *sweep, n *onnx.Node) {
	s.give(0, func() *onnx.Value {
		return s.Op("CumSum", []*onnx.Value{s.dy(0), n.Inputs[1]},
			onnx.Attrs{"exclusive": n.Int("exclusive", 0), "reverse": 1 - n.Int("reverse", 0)})
	})
}

// normAxes are the axes that a normalisation takes its statistics over.
func normAxes(n *onnx.Node) []int64 {
	rank := int64(len(n.Inputs[0].Shape))
	var axes []int64
	for a := (n.Int("axis", -1) + rank) % rank; a < rank; a++ {
		axes = append(axes, a)
	}
	return axes
}

func (s *sweep) normEps(n *onnx.Node) float64 { return float64(n.Float("epsilon", 1e-5)) }

// onlyFirst refuses gradients that flow into a normalisation's statistics.
func (s *sweep) onlyFirst(n *onnx.Node) {
	for i := 1; i < len(n.Outputs); i++ {
		if s.dy(i) != nil {
			s.Fail("node %s: the statistics of %s have no gradient rule", n.Name, n.Op)
		}
	}
}

// rmsNorm: y = x̂·w, x̂ = x/rms; with d = dy·w: dx = (d − x̂·mean(d·x̂))/rms, dw = Σ dy·x̂.
func rmsNorm(s *sweep, n *onnx.Node) {
	s.onlyFirst(n)
	x, w, dy, axes := n.Inputs[0], n.Inputs[1], s.dy(0), normAxes(n)
	var inverse *onnx.Value
	if len(n.Outputs) > 1 {
		inverse = s.cast(n.Outputs[1], x.Type)
	} else {
		wide := s.wide(x)
		inverse = s.cast(s.op("Reciprocal", s.op("Sqrt", s.plus(s.reduce("ReduceMean", s.mul(wide, wide), true, axes...), s.normEps(n)))), x.Type)
	}
	hat := s.mul(x, inverse)
	s.give(0, func() *onnx.Value { return s.normInput(s.mul(dy, w), hat, inverse, false, axes) })
	s.give(1, func() *onnx.Value { return s.mul(dy, hat) })
}

// layerNorm: as rmsNorm, of x less its mean: dx = (d − mean(d) − x̂·mean(d·x̂))/σ.
func layerNorm(s *sweep, n *onnx.Node) {
	s.onlyFirst(n)
	x, w, dy, axes := s.wide(n.Inputs[0]), s.wide(n.Inputs[1]), s.wide(s.dy(0)), normAxes(n)
	centred := s.sub(x, s.reduce("ReduceMean", x, true, axes...))
	inverse := s.op("Reciprocal", s.op("Sqrt", s.plus(s.reduce("ReduceMean", s.mul(centred, centred), true, axes...), s.normEps(n))))
	hat := s.mul(centred, inverse)
	s.give(0, func() *onnx.Value { return s.normInput(s.mul(dy, w), hat, inverse, true, axes) })
	s.give(1, func() *onnx.Value { return s.mul(dy, hat) })
	if n.Input(2) != nil {
		s.give(2, func() *onnx.Value { return dy })
	}
}

// normInput is the gradient of what was normalised. Means are added up in the wide type.
func (s *sweep) normInput(d, hat, inverse *onnx.Value, centred bool, axes []int64) *onnx.Value {
	mean := func(x *onnx.Value) *onnx.Value {
		return s.cast(s.reduce("ReduceMean", s.wide(x), true, axes...), d.Type)
	}
	rest := s.sub(d, s.mul(hat, mean(s.mul(d, hat))))
	if centred {
		rest = s.sub(rest, mean(d))
	}
	return s.mul(rest, inverse)
}
