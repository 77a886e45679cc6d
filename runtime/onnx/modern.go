package onnx

// modernised are operators that older opsets wrote otherwise: what are inputs today were attributes.
var modernised = map[string]func(b *Builder, n *Node, opset int64, outputs int){}

func init() {
	for _, op := range []string{"Squeeze", "Unsqueeze", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare", "ReduceL1",
		"ReduceL2", "ReduceLogSum", "ReduceLogSumExp"} {
		modernised[op] = func(b *Builder, n *Node, _ int64, _ int) { attributesToInputs(b, n, "axes") }
	}
	modernised["Split"] = func(b *Builder, n *Node, opset int64, outputs int) {
		attributesToInputs(b, n, "split")
		if _, given := n.Attrs["num_outputs"]; !given && n.Input(1) == nil && opset < 18 {
			n.Attrs["num_outputs"] = int64(outputs)
		}
	}
	modernised["Slice"] = func(b *Builder, n *Node, _ int64, _ int) { attributesToInputs(b, n, "starts", "ends", "axes") }
	modernised["Pad"] = func(b *Builder, n *Node, _ int64, _ int) {
		attributesToInputs(b, n, "pads")
		numbersToInputs(b, n, 2, "value")
	}
	modernised["Clip"] = func(b *Builder, n *Node, _ int64, _ int) { numbersToInputs(b, n, 1, "min", "max") }
	modernised["Softmax"], modernised["LogSoftmax"] = onlyLastAxis, onlyLastAxis
}

// attributesToInputs makes lists of integers that are attributes the inputs from 1 on.
func attributesToInputs(b *Builder, n *Node, names ...string) {
	for i, name := range names {
		list, given := n.Attrs[name].([]int64)
		if !given {
			continue
		}
		becomes(n, i+1, name, b.Ints(list...))
	}
}

// numbersToInputs makes attributes of one number the inputs from first on.
func numbersToInputs(b *Builder, n *Node, first int, names ...string) {
	for i, name := range names {
		if x, given := n.Attrs[name].(float32); given {
			becomes(n, first+i, name, b.Scalar(n.Inputs[0].Type, float64(x)))
		}
	}
}

// becomes puts an input in the place of an attribute.
func becomes(n *Node, at int, name string, v *Value) {
	for len(n.Inputs) <= at {
		n.Inputs = append(n.Inputs, nil)
	}
	n.Inputs[at] = v
	delete(n.Attrs, name)
}

// onlyLastAxis: before opset 13 all dimensions from the axis on counted as one, which is the same for the last.
func onlyLastAxis(b *Builder, n *Node, opset int64, _ int) {
	if opset >= 13 || n.Input(0) == nil {
		return
	}
	axis, rank := n.Int("axis", 1), int64(len(n.Inputs[0].Shape))
	if axis != -1 && axis != rank-1 {
		b.Fail("node %s: a %s over the axes from %d on, as opset %d has it, is not supported: export in opset 13 or later", n.Name, n.Op, axis, opset)
	}
}
