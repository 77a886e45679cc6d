package onnx

import (
	"fmt"
	"slices"
)

// views are operators whose output is their first input's memory under another shape.
var views = map[string]bool{"Reshape": true, "Squeeze": true, "Unsqueeze": true, "Flatten": true, "Identity": true}

// overwriting are operators that ONNX Runtime lets write over an input that nobody reads afterwards. Sums and products of
// two tensors are not among them.
var overwriting = map[string]bool{"Softmax": true, "Sigmoid": true}

// Lifetimes say how long each of a graph's inner values needs memory. Inputs, constants and outputs are not among them:
// they belong to whoever runs the graph.
type Lifetimes struct {
	graph   *Graph
	buffers []*buffer
}

// Lifetimes follow ONNX Runtime's sequential planner: a value's memory is free after its last reader and then serves the
// next value of the same type and shape, if there is one, and is held until that has ended too.
func (g *Graph) Lifetimes() *Lifetimes { return &Lifetimes{g, buffers(g)} }

// Peak is the most bytes that the values take at once while the graph runs, at these sizes of its symbols.
func (l *Lifetimes) Peak(sizes map[string]int64) (int64, error) {
	begin, end := make([]int64, len(l.graph.Nodes)), make([]int64, len(l.graph.Nodes))
	for _, b := range l.buffers {
		n, err := b.first.Bytes(sizes)
		if err != nil {
			return 0, fmt.Errorf("memory of graph %s: value %s: %w", l.graph.Name, b.first.Name, err)
		}
		begin[b.from] += n
		end[b.to] += n
	}
	var live, peak int64
	for i := range l.graph.Nodes {
		live += begin[i]
		peak = max(peak, live)
		live -= end[i]
	}
	return peak, nil
}

// Bytes is a value's size in memory at these sizes of its symbols.
func (v *Value) Bytes(sizes map[string]int64) (int64, error) {
	n, err := v.Shape.Size().Eval(sizes)
	return n * int64(v.Type.Size()), err
}

// buffer is memory that holds values one after the other, from one node to another.
type buffer struct {
	first    *Value
	from, to int
	users    int // values in it now whose last reader has not run
}

// shaped says which values may take each other's memory.
type shaped struct {
	dtype DType
	shape string
}

// buffers assigns the values inside the graph to memory.
func buffers(g *Graph) []*buffer {
	outside := map[*Value]bool{}
	for _, v := range g.Outputs {
		outside[v] = true
	}
	readers := map[*Value]int{}
	for _, n := range g.Nodes {
		for _, v := range n.Inputs {
			readers[v]++
		}
	}
	var all []*buffer
	holds, free := map[*Value]*buffer{}, map[shaped][]*buffer{}
	for i, n := range g.Sequence() {
		for k, v := range n.Outputs {
			if v == nil || outside[v] {
				continue
			}
			b := n.overwritten(k, holds, readers)
			if key := keyOf(v); b == nil {
				if dead := free[key]; len(dead) > 0 {
					b, free[key] = dead[len(dead)-1], dead[:len(dead)-1]
				} else {
					b = &buffer{first: v, from: i}
					all = append(all, b)
				}
			}
			holds[v], b.to = b, i
			b.users++
		}
		ended := func(v *Value) {
			if b := holds[v]; b != nil && readers[v] == 0 {
				b.to = i
				if b.users--; b.users == 0 {
					free[keyOf(b.first)] = append(free[keyOf(b.first)], b)
				}
				delete(holds, v)
			}
		}
		for _, v := range n.Inputs {
			readers[v]--
			ended(v)
		}
		for _, v := range n.Outputs {
			ended(v)
		}
	}
	return all
}

func keyOf(v *Value) shaped { return shaped{v.Type, v.Shape.String()} }

// overwritten is the memory of an input that the node's first output shares; nil where it takes its own.
func (n *Node) overwritten(output int, holds map[*Value]*buffer, readers map[*Value]int) *buffer {
	if output > 0 || len(n.Inputs) == 0 {
		return nil
	}
	b := holds[n.Inputs[0]]
	if b != nil && (views[n.Op] || overwriting[n.Op] && b.users == 1 && readers[n.Inputs[0]] == 1) {
		return b
	}
	return nil
}

// Sequence lists the nodes in the order in which ONNX Runtime runs them: it takes the nodes that no other reads from the
// last to the first, and before each what it needs, where a node later in the graph comes first.
func (g *Graph) Sequence() []*Node {
	at, read := map[*Node]int{}, map[*Node]bool{}
	for i, n := range g.Nodes {
		at[n] = i
		for _, v := range n.Inputs {
			if v != nil {
				read[v.Node] = true
			}
		}
	}
	var out []*Node
	seen := map[*Node]bool{}
	var visit func(n *Node)
	visit = func(n *Node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		var needs []*Node
		for _, v := range n.Inputs {
			if v != nil && v.Node != nil {
				needs = append(needs, v.Node)
			}
		}
		slices.SortFunc(needs, func(a, b *Node) int { return at[b] - at[a] })
		for _, in := range needs {
			visit(in)
		}
		out = append(out, n)
	}
	for _, n := range slices.Backward(g.Nodes) {
		if !read[n] {
			visit(n)
		}
	}
	return out
}
