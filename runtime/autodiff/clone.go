package autodiff

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// copier copies values and nodes of a graph into another.
type copier map[*onnx.Value]*onnx.Value

func (c copier) value(v *onnx.Value) *onnx.Value {
	if v == nil || v.Const != nil {
		return v
	}
	if c[v] == nil {
		c[v] = &onnx.Value{Name: v.Name, Type: v.Type, Shape: v.Shape, Elems: v.Elems}
	}
	return c[v]
}

func (c copier) values(list []*onnx.Value) []*onnx.Value {
	out := make([]*onnx.Value, len(list))
	for i, v := range list {
		out[i] = c.value(v)
	}
	return out
}

func (c copier) node(n *onnx.Node) *onnx.Node {
	m := &onnx.Node{Op: n.Op, Domain: n.Domain, Name: n.Name, Attrs: maps.Clone(n.Attrs), Meta: maps.Clone(n.Meta), Inputs: c.values(n.Inputs)}
	for _, v := range n.Outputs {
		out := &onnx.Value{Name: v.Name, Type: v.Type, Shape: v.Shape, Elems: v.Elems, Node: m}
		if c[v] == nil { // a kept value stays the input that it is
			c[v] = out
		} else {
			out.Name += ".again"
		}
		m.Outputs = append(m.Outputs, out)
	}
	return m
}

// clone copies a graph.
func clone(g *onnx.Graph) (*onnx.Graph, copier) {
	c := copier{}
	out := &onnx.Graph{Name: g.Name, Opsets: maps.Clone(g.Opsets), Meta: maps.Clone(g.Meta), Inputs: c.values(g.Inputs)}
	for _, n := range g.Nodes {
		out.Nodes = append(out.Nodes, c.node(n))
	}
	out.Outputs = c.values(g.Outputs)
	return out, c
}

// pair writes both graphs down.
func (c *cut) pair(stage *onnx.Graph, grads []*onnx.Value) (*Pair, error) {
	p := &Pair{Forward: stage}
	slices.SortFunc(c.residuals, func(a, b *onnx.Value) int { return c.position(a) - c.position(b) })
	for _, v := range c.residuals {
		p.Residuals = append(p.Residuals, c.kept[v])
	}
	if c.residuals != nil {
		copied, _ := clone(stage)
		forward, err := onnx.Extend(copied, func(b *onnx.Builder) {
			for i, v := range c.residuals {
				b.Output(p.Residuals[i], find(copied, v.Name))
			}
		})
		if err != nil {
			return nil, fmt.Errorf("split graph %s: %w", stage.Name, err)
		}
		forward.Name = stage.Name + "." + string(c.spec.Rung)
		p.Forward = forward
	}
	back, err := c.backward(stage.Name, grads)
	if err != nil {
		return nil, fmt.Errorf("split graph %s: %w", stage.Name, err)
	}
	p.Backward = back
	return p, nil
}

// find is a value by its name, whichever node computes it.
func find(g *onnx.Graph, name string) *onnx.Value {
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			if v.Name == name {
				return v
			}
		}
	}
	return nil
}

// position orders values as they are computed.
func (c *cut) position(v *onnx.Value) int { return slices.Index(c.work.Nodes, v.Node) }

// backward copies the nodes that are needed, with what is kept as inputs.
func (c *cut) backward(stage string, grads []*onnx.Value) (*onnx.Graph, error) {
	g := &onnx.Graph{Name: stage + "." + string(c.spec.Rung) + ".grad", Opsets: maps.Clone(c.work.Opsets)}
	copies := copier{}
	kept := slices.Collect(maps.Keys(c.kept))
	slices.SortFunc(kept, func(a, b *onnx.Value) int {
		return cmp.Or(c.position(a)-c.position(b), strings.Compare(a.Name, b.Name))
	})
	inputs := slices.Clone(c.work.Inputs)
	for _, v := range kept {
		copies[v] = &onnx.Value{Name: c.kept[v], Type: v.Type, Shape: v.Shape, Elems: v.Elems}
		inputs = append(inputs, v)
	}
	used := map[*onnx.Value]bool{}
	for _, n := range c.work.Nodes {
		if !c.nodes[n] {
			continue
		}
		g.Nodes = append(g.Nodes, copies.node(n))
		for _, v := range n.Inputs {
			used[v] = true
		}
	}
	for _, d := range grads {
		used[d] = true
	}
	for _, v := range inputs {
		if used[v] {
			g.Inputs = append(g.Inputs, copies.value(v))
		}
	}
	g, err := onnx.Extend(g, func(b *onnx.Builder) {
		for i, d := range grads {
			b.Output(GradientName(c.spec.Wrt[i]), copies.value(d))
		}
	})
	if err == nil {
		g.Nodes = early(g.Nodes)
	}
	return g, err
}

// early moves the nodes that no other reads to the end, in reverse. ONNX Runtime begins with the last of them
// (onnx.Graph.Sequence), so each parameter's gradient is computed as soon as it can be, while what it reads is in the
// cache, and that is freed; else all of them would wait for dx.
func early(nodes []*onnx.Node) []*onnx.Node {
	read := map[*onnx.Node]bool{}
	for _, n := range nodes {
		for _, v := range n.Inputs {
			if v != nil {
				read[v.Node] = true
			}
		}
	}
	var inner, last []*onnx.Node
	for _, n := range nodes {
		if read[n] {
			inner = append(inner, n)
		} else {
			last = append(last, n)
		}
	}
	slices.Reverse(last)
	return append(inner, last...)
}
