package onnx

import (
	"fmt"
	"slices"
)

// Operators that pick or place elements by index.
func init() {
	register(2, gather, "Gather")
	register(2, gatherElements, "GatherElements")
	register(2, gatherND, "GatherND")
	register(3, scatter, "ScatterElements", "ScatterND", "Scatter")
	register(3, where, "Where")
	register(1, argBest, "ArgMax", "ArgMin")
	register(1, topK, "TopK")
	register(3, oneHot, "OneHot")
	register(1, nonZero, "NonZero")
	register(2, compress, "Compress")
}

func gather(n *Node, _ int64) error {
	x, at, out := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	out.Type = x.Type
	if x.Shape == nil || at.Shape == nil {
		return nil
	}
	k, err := axis(n.Int("axis", 0), len(x.Shape))
	if err != nil {
		return err
	}
	out.Shape = slices.Concat(x.Shape[:k], at.Shape, x.Shape[k+1:])
	if out.Shape == nil { // a scalar
		out.Shape = Shape{}
	}
	if x.Elems == nil || len(x.Shape) != 1 {
		return nil
	}
	picks, ok := constants(at.Elems)
	if !ok || at.Elems == nil {
		return nil
	}
	elems := []Dim{}
	for _, i := range picks {
		j, err := axis(i, len(x.Elems))
		if err != nil {
			return fmt.Errorf("index %d outside %d elements", i, len(x.Elems))
		}
		elems = append(elems, x.Elems[j])
	}
	out.Elems = elems
	return nil
}

func gatherElements(n *Node, _ int64) error {
	x, at := n.Inputs[0], n.Inputs[1]
	if x.Shape != nil && at.Shape != nil && len(x.Shape) != len(at.Shape) {
		return fmt.Errorf("ranks %d and %d differ", len(x.Shape), len(at.Shape))
	}
	n.Outputs[0].Type, n.Outputs[0].Shape = x.Type, at.Shape
	return nil
}

func gatherND(n *Node, _ int64) error {
	x, at, out := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	out.Type = x.Type
	if x.Shape == nil || len(at.Shape) == 0 {
		return nil
	}
	batch := n.Int("batch_dims", 0)
	last, ok := at.Shape[len(at.Shape)-1].Const()
	if !ok {
		return nil
	}
	if batch < 0 || last < 0 || batch+last > int64(len(x.Shape)) || batch >= int64(len(at.Shape)) {
		return fmt.Errorf("indices of %d after %d batch dimensions do not fit %s", last, batch, x.Shape)
	}
	out.Shape = slices.Concat(at.Shape[:len(at.Shape)-1], x.Shape[batch+last:])
	return nil
}

func scatter(n *Node, _ int64) error {
	n.Outputs[0].Type, n.Outputs[0].Shape = n.Inputs[0].Type, n.Inputs[0].Shape
	if n.Inputs[2].Type != n.Inputs[0].Type {
		return fmt.Errorf("updates of %s to %s", n.Inputs[2].Type, n.Inputs[0].Type)
	}
	return nil
}

func where(n *Node, _ int64) error {
	out := n.Outputs[0]
	out.Type = n.Inputs[1].Type
	if n.Inputs[2].Type != out.Type {
		return fmt.Errorf("types %s and %s differ", out.Type, n.Inputs[2].Type)
	}
	s, err := Broadcast(n.Inputs[1].Shape, n.Inputs[2].Shape)
	if err != nil {
		return err
	}
	out.Shape, err = Broadcast(s, n.Inputs[0].Shape)
	out.Elems = chosenElems(n.Inputs[0].Elems, n.Inputs[1].Elems, n.Inputs[2].Elems)
	return err
}

// chosenElems picks sizes from a where the condition is 1, from b where it is 0.
func chosenElems(condition, a, b []Dim) []Dim {
	if condition == nil || len(a) != len(condition) || len(b) != len(condition) {
		return nil
	}
	out := slices.Clone(b)
	for i, c := range condition {
		switch {
		case c.Is(1):
			out[i] = a[i]
		case !c.Is(0):
			return nil
		}
	}
	return out
}

func argBest(n *Node, _ int64) error {
	return reduced(n, []int64{n.Int("axis", 0)}, Int64)
}

func topK(n *Node, _ int64) error {
	x := n.Inputs[0]
	types := []DType{x.Type, Int64}
	for i, o := range n.Outputs {
		o.Type = types[min(i, 1)]
		if x.Shape == nil {
			continue
		}
		at, err := axis(n.Int("axis", -1), len(x.Shape))
		if err != nil {
			return err
		}
		o.Shape = slices.Clone(x.Shape)
		o.Shape[at] = unknown(n, i, at)
		if k := n.Input(1); k != nil && len(k.Elems) == 1 {
			o.Shape[at] = k.Elems[0]
		} else if k := n.Int("k", -1); k >= 0 {
			o.Shape[at] = Const(k)
		}
	}
	return nil
}

func oneHot(n *Node, _ int64) error {
	at, depth, out := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	out.Type = n.Inputs[2].Type
	if at.Shape == nil {
		return nil
	}
	k, err := axis(n.Int("axis", -1), len(at.Shape)+1)
	if err != nil {
		return err
	}
	d := unknown(n, 0, k)
	if len(depth.Elems) == 1 {
		d = depth.Elems[0]
	}
	out.Shape = slices.Insert(slices.Clone(at.Shape), k, d)
	return nil
}

func nonZero(n *Node, _ int64) error {
	out := n.Outputs[0]
	out.Type = Int64
	if x := n.Inputs[0]; x.Shape != nil {
		out.Shape = Shape{Const(int64(len(x.Shape))), unknown(n, 0, 1)}
	}
	return nil
}

func compress(n *Node, _ int64) error {
	x, out := n.Inputs[0], n.Outputs[0]
	out.Type = x.Type
	if _, given := n.Attrs["axis"]; !given {
		out.Shape = unknowns(n, 0, 1)
		return nil
	}
	if x.Shape == nil {
		return nil
	}
	at, err := axis(n.Int("axis", 0), len(x.Shape))
	if err != nil {
		return err
	}
	out.Shape = slices.Clone(x.Shape)
	out.Shape[at] = unknown(n, 0, at)
	return nil
}
