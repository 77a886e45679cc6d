package onnx

import (
	"fmt"
	"maps"
	"slices"
)

// Rewriting says what [Rewrite] changes.
type Rewriting struct {
	Inputs  map[string]Shape // the shapes of inputs, by name; others keep theirs
	Outputs []string         // those that are kept

	// Replace gives what stands in the place of a node, whose inputs are those of the new graph; nil for the node itself. opset is the
	// version of the node's domain in the old graph.
	Replace func(b *Builder, n *Node, opset int64) []*Value
}

// Rewrite copies a graph into this package's [Opset], with all types and shapes inferred anew from its inputs'. Operators that were written
// otherwise in older opsets are written as they are now, sizes that are known become constants, what changes nothing is passed over, and
// what no output depends on is left out. Inputs that nothing reads stay, and the graph's constants keep their names.
func Rewrite(g *Graph, r Rewriting) (*Graph, error) {
	outputs := make([]*Value, len(r.Outputs))
	for i, name := range r.Outputs {
		if outputs[i] = g.Output(name); outputs[i] == nil {
			return nil, fmt.Errorf("rewrite graph %s: there is no output %s", g.Name, name)
		}
	}
	out, err := Build(g.Name, func(b *Builder) {
		w := &rewriter{b, r, g.Opsets, map[*Value]*Value{}}
		for _, v := range g.Constants() {
			w.names[v.Name] = 0 // no node takes it
		}
		for _, in := range g.Inputs {
			shape, given := r.Inputs[in.Name]
			if !given {
				shape = in.Shape
			}
			w.values[in] = b.Input(in.Name, in.Type, shape...)
			w.values[in].Shape = shape // nil where it is not known
		}
		for _, n := range Ancestors(g.Nodes, outputs) {
			w.visit(n)
		}
		for i, v := range outputs {
			b.Output(r.Outputs[i], w.value(v))
		}
	})
	if err != nil {
		return nil, err
	}
	out.Nodes = Ancestors(out.Nodes, out.Outputs)
	return out, nil
}

// Ancestors are the nodes that values depend on, in their order.
func Ancestors(nodes []*Node, of []*Value) []*Node {
	wanted := map[*Node]bool{}
	for _, v := range of {
		wanted[v.Node] = true
	}
	var out []*Node
	for _, n := range slices.Backward(nodes) {
		if wanted[n] {
			out = append(out, n)
			for _, v := range n.Inputs {
				if v != nil {
					wanted[v.Node] = true
				}
			}
		}
	}
	slices.Reverse(out)
	return out
}

// rewriter holds, for each value of the old graph, the one of the new.
type rewriter struct {
	*Builder
	Rewriting
	opsets map[string]int64
	values map[*Value]*Value
}

func (w *rewriter) value(v *Value) *Value {
	if v == nil {
		return nil
	}
	if w.values[v] == nil && v.Const != nil {
		w.values[v] = constant(v.Name, v.Const)
	}
	return w.values[v]
}

// constant is what a node held, under the name that the node's output has, if that is free.
func (w *rewriter) constant(name string, t *Tensor) *Value {
	if _, taken := w.names[name]; taken || name == "" {
		name = w.fresh(name)
	}
	w.names[name] = 0
	return constant(name, t)
}

// visit copies a node, or gives its outputs otherwise.
func (w *rewriter) visit(n *Node) {
	m := &Node{Op: n.Op, Domain: n.Domain, Attrs: Attrs{}, Meta: maps.Clone(n.Meta)}
	maps.Copy(m.Attrs, n.Attrs)
	another := slices.Contains(w.Outputs, n.Name) && n.Outputs[0].Name != n.Name // is to have that name
	if _, taken := w.names[n.Name]; !taken && !another {
		m.Name = n.Name
	}
	for _, v := range n.Inputs {
		m.Inputs = append(m.Inputs, w.value(v))
	}
	var outs []*Value
	switch {
	case n.Op == "Constant" && n.Domain == "":
		t, err := constantOf(n)
		if err != nil {
			w.Fail("node %s: %w", n.Name, err)
		}
		outs = []*Value{w.constant(n.Outputs[0].Name, t)}
	case n.Op == "Identity" && m.Input(0) != nil && m.Inputs[0].Const != nil: // the same numbers under another name
		outs = []*Value{w.constant(n.Outputs[0].Name, m.Inputs[0].Const)}
	case w.Replace != nil:
		outs = w.Replace(w.Builder, m, w.opsets[n.Domain])
	}
	if outs == nil {
		outs = w.copy(m, n)
	}
	for i, v := range n.Outputs {
		if i < len(outs) {
			w.values[v] = outs[i]
		}
	}
}

// copy adds the node as it is written today.
func (w *rewriter) copy(m, n *Node) []*Value {
	if modern := modernised[m.Op]; modern != nil && m.Domain == "" {
		modern(w.Builder, m, w.opsets[""], len(n.Outputs))
	}
	if same := passedOver(m); same != nil {
		return []*Value{same}
	}
	w.names[m.Name] = 0
	outs := w.Node(m, len(n.Outputs))
	if len(outs) != 1 {
		return outs
	}
	out := outs[0]
	if known, ok := constants(out.Elems); ok && out.Elems != nil && out.Type == Int64 {
		switch len(out.Shape) {
		case 0:
			return []*Value{w.Constant(IntTensor(known).scalar())}
		case 1:
			return []*Value{w.Ints(known...)}
		}
	}
	if moved[m.Op] && out.Shape.Equal(m.Inputs[0].Shape) && !out.Shape.unknown() {
		return m.Inputs[:1]
	}
	return outs
}

// moved are operators that change nothing where they keep the shape.
var moved = map[string]bool{"Reshape": true, "Expand": true, "Flatten": true}

func (s Shape) unknown() bool { return slices.ContainsFunc(s, Dim.Unknown) }

// passedOver is the input that a node gives as it is; nil where it does something.
func passedOver(n *Node) *Value {
	x := n.Input(0)
	if x == nil {
		return nil
	}
	switch n.Op {
	case "Identity", "Dropout":
		return x
	case "Cast":
		if DType(n.Int("to", 0)) == x.Type {
			return x
		}
	case "Concat":
		n.Inputs = slices.DeleteFunc(n.Inputs, func(v *Value) bool { return emptyAlong(v, n.Int("axis", 0)) })
		switch len(n.Inputs) {
		case 0: // all are empty
			return x
		case 1:
			return n.Inputs[0]
		}
	case "Slice":
		if whole(n) {
			return x
		}
	}
	return nil
}

// emptyAlong reports a tensor of size 0 along an axis.
func emptyAlong(v *Value, axis int64) bool {
	if v == nil || v.Shape == nil {
		return false
	}
	if axis < 0 {
		axis += int64(len(v.Shape))
	}
	return axis >= 0 && axis < int64(len(v.Shape)) && v.Shape[axis].Is(0)
}

// whole reports a slice from the beginning to what exporters write for the end.
func whole(n *Node) bool {
	const far = 1<<31 - 1
	starts, ok1, _ := ints(n, 1, "starts")
	ends, ok2, _ := ints(n, 2, "ends")
	steps, ok3, absent := ints(n, 4, "")
	return ok1 && ok2 && (ok3 || absent) && !slices.ContainsFunc(starts, func(i int64) bool { return i != 0 }) &&
		!slices.ContainsFunc(ends, func(i int64) bool { return i < far }) && !slices.ContainsFunc(steps, func(i int64) bool { return i != 1 })
}
