package onnx

import "slices"

// OnlyCast reports whether an input of g is read by casts to another type t alone.
func (g *Graph) OnlyCast(input *Value, t DType) bool {
	read := false
	for _, n := range g.Nodes {
		if slices.Contains(n.Inputs, input) {
			if !castsTo(n, t) || slices.Contains(g.Outputs, n.Outputs[0]) {
				return false
			}
			read = true
		}
	}
	return read && input.Type != t && !slices.Contains(g.Outputs, input)
}

// Precast makes an input of g that is OnlyCast come in that type, and takes the casts out.
func (g *Graph) Precast(input *Value, t DType) {
	cast := map[*Value]bool{}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *Node) bool {
		if !slices.Contains(n.Inputs, input) {
			return false
		}
		cast[n.Outputs[0]] = true
		return true
	})
	for _, n := range g.Nodes {
		for i, v := range n.Inputs {
			if cast[v] {
				n.Inputs[i] = input
			}
		}
	}
	input.Type = t
}

func castsTo(n *Node, t DType) bool {
	return n.Op == "Cast" && n.Domain == "" && n.Int("to", 0) == int64(t)
}
