// Package onnx holds computation graphs in the ONNX format: it builds them, infers every value's type and shape,
// reads and writes the protobuf, and prints them as text.
//
// A [Graph] is a list of [Node]s in topological order that compute [Value]s. Ranks, and which dimensions are 1, are known
// statically; other dimensions may be symbols ([Dim]). Shapes are inferred as each node is added, by one rule per
// operator (rules_*.go), so a graph with a shape error is never written:
//
//	g, err := onnx.Build("scaled", func(b *onnx.Builder) {
//		x := b.Input("x", onnx.Float32, onnx.Sym("T"), onnx.Const(64))
//		b.Output("y", b.Op("Mul", []*onnx.Value{x, b.Scalar(onnx.Float32, 0.5)}, nil))
//	})
package onnx

import "maps"

// Opset is the version of the standard operators that graphs built here use.
const Opset = 21

// Microsoft is the domain of ONNX Runtime's own operators.
const Microsoft = "com.microsoft"

// A Value is an edge of the graph: a graph input, a constant, or an output of a node.
type Value struct {
	Name  string
	Type  DType
	Shape Shape
	Node  *Node   // the node that computes it; nil for inputs and constants
	Const *Tensor // the data of a constant
	// Elems holds the elements of a small integer vector or scalar where they are known as sizes: what Shape
	// returned, and what slicing, concatenation and arithmetic made of it. Reshape and Expand take targets from here.
	Elems []Dim
}

// Attrs are a node's attributes: int64, float32, string, []int64, []float32, []string, *Tensor or *Graph.
type Attrs map[string]any

// A Node applies an operator. An absent optional input is nil.
type Node struct {
	Op, Domain, Name string
	Inputs, Outputs  []*Value
	Attrs            Attrs
	// Meta is written as metadata_props; the gradient rules read their hints from it.
	Meta map[string]string
}

// Int is an integer attribute, or def where it is absent.
func (n *Node) Int(name string, def int64) int64 {
	if v, ok := n.Attrs[name].(int64); ok {
		return v
	}
	return def
}

// Float is a float attribute, or def where it is absent.
func (n *Node) Float(name string, def float32) float32 {
	if v, ok := n.Attrs[name].(float32); ok {
		return v
	}
	return def
}

// IntList is an attribute of several integers; nil where it is absent.
func (n *Node) IntList(name string) []int64 {
	v, _ := n.Attrs[name].([]int64)
	return v
}

// Text is a string attribute, or def where it is absent.
func (n *Node) Text(name, def string) string {
	if v, ok := n.Attrs[name].(string); ok {
		return v
	}
	return def
}

// Input is input i, or nil where the node has none there.
func (n *Node) Input(i int) *Value {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return nil
}

// A Graph is a list of nodes in topological order, with its inputs and outputs.
type Graph struct {
	Name    string
	Inputs  []*Value
	Outputs []*Value
	Nodes   []*Node
	Opsets  map[string]int64 // version of each operator domain; "" is the standard one
	Meta    map[string]string
}

// Input finds a graph input by name; nil where there is none.
func (g *Graph) Input(name string) *Value { return find(g.Inputs, name) }

// Output finds a graph output by name; nil where there is none.
func (g *Graph) Output(name string) *Value { return find(g.Outputs, name) }

func find(values []*Value, name string) *Value {
	for _, v := range values {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// Constants lists the constants that nodes and outputs use, in order of first use.
func (g *Graph) Constants() []*Value {
	var out []*Value
	seen := map[*Value]bool{}
	add := func(v *Value) {
		if v != nil && v.Const != nil && !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	for _, n := range g.Nodes {
		for _, v := range n.Inputs {
			add(v)
		}
	}
	for _, v := range g.Outputs {
		add(v)
	}
	return out
}

func defaultOpsets() map[string]int64 { return maps.Clone(map[string]int64{"": Opset, Microsoft: 1}) }
