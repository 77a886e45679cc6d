package onnx

import (
	"fmt"
	"strings"
)

// A Builder adds nodes to a graph, inferring types and shapes as it goes. Its methods panic with a private type
// that [Build] and [Extend] turn into an error, so that graph code reads as the formulas it stands for.
type Builder struct {
	graph *Graph
	names map[string]int
	ints  map[string]*Value
}

type buildError struct{ err error }

// Build makes a graph by calling f.
func Build(name string, f func(b *Builder)) (g *Graph, err error) {
	return Extend(&Graph{Name: name, Opsets: defaultOpsets()}, f)
}

// Extend lets f add nodes, inputs and outputs to g, which is changed in place and returned.
func Extend(g *Graph, f func(b *Builder)) (out *Graph, err error) {
	b := &Builder{graph: g, names: map[string]int{}, ints: map[string]*Value{}}
	for _, v := range g.Inputs {
		b.names[v.Name] = 0
	}
	for _, n := range g.Nodes {
		b.names[n.Name] = 0
		for _, v := range append(append([]*Value{}, n.Inputs...), n.Outputs...) {
			if v != nil {
				b.names[v.Name] = 0
			}
		}
	}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(buildError)
			if !ok {
				panic(r)
			}
			out, err = nil, fmt.Errorf("build graph %s: %w", g.Name, e.err)
		}
	}()
	f(b)
	return g, nil
}

// Fail ends the build with an error.
func (b *Builder) Fail(format string, args ...any) {
	panic(buildError{fmt.Errorf(format, args...)})
}

// Graph is the graph being built.
func (b *Builder) Graph() *Graph { return b.graph }

// Input declares a graph input.
func (b *Builder) Input(name string, t DType, dims ...Dim) *Value {
	if dims == nil {
		dims = []Dim{}
	}
	v := &Value{Name: b.claim(name), Type: t, Shape: dims}
	b.graph.Inputs = append(b.graph.Inputs, v)
	return v
}

// Output names v as a graph output. Where v is already an output, or an input, an Identity node keeps the names apart.
func (b *Builder) Output(name string, v *Value) {
	if v.Node == nil || find(b.graph.Outputs, v.Name) == v {
		v = b.Op("Identity", []*Value{v}, nil)
	}
	if v.Name != name {
		if _, taken := b.names[name]; taken {
			b.Fail("output %q: the name is taken", name)
		}
		v.Name = b.claim(name)
	}
	b.graph.Outputs = append(b.graph.Outputs, v)
}

// Op adds a node of the standard domain with one output.
func (b *Builder) Op(op string, inputs []*Value, attrs Attrs) *Value {
	return b.Node(&Node{Op: op, Inputs: inputs, Attrs: attrs}, 1)[0]
}

// Node adds n with that many outputs and infers them.
func (b *Builder) Node(n *Node, outputs int) []*Value {
	n.Attrs = widen(n.Attrs)
	if n.Name == "" {
		n.Name = b.fresh(strings.ToLower(n.Op))
	}
	for i := range outputs {
		name := n.Name
		if i > 0 {
			name = b.fresh(fmt.Sprintf("%s.%d", n.Name, i))
		}
		n.Outputs = append(n.Outputs, &Value{Name: name, Node: n})
	}
	if err := Infer(n, b.graph.Opsets[n.Domain]); err != nil {
		panic(buildError{err})
	}
	b.graph.Nodes = append(b.graph.Nodes, n)
	return n.Outputs
}

// Constant adds a constant.
func (b *Builder) Constant(t *Tensor) *Value { return constant(b.fresh("const"), t) }

// Initializer adds a constant under a name of its own, such as a weight's.
func (b *Builder) Initializer(name string, t *Tensor) *Value { return constant(b.claim(name), t) }

func constant(name string, t *Tensor) *Value {
	return &Value{Name: name, Type: t.Type, Shape: Dims(t.Dims...), Const: t, Elems: constElems(t)}
}

// Ints is a constant int64 vector; equal ones are shared.
func (b *Builder) Ints(values ...int64) *Value {
	key := fmt.Sprint(values)
	if v, ok := b.ints[key]; ok {
		return v
	}
	if values == nil {
		values = []int64{}
	}
	v := b.Constant(IntTensor(values))
	b.ints[key] = v
	return v
}

// Scalar is a constant of rank 0.
func (b *Builder) Scalar(t DType, x float64) *Value {
	c, err := FloatTensor(t, []float64{x}, []int64{}...)
	if err != nil {
		b.Fail("%w", err)
	}
	c.Dims = []int64{}
	return b.Constant(c)
}

// widen lets callers write int and float64 literals for attributes.
func widen(a Attrs) Attrs {
	for k, v := range a {
		switch x := v.(type) {
		case int:
			a[k] = int64(x)
		case float64:
			a[k] = float32(x)
		case bool:
			a[k] = int64(0)
			if x {
				a[k] = int64(1)
			}
		}
	}
	return a
}

// constElems gives a small integer constant's elements as sizes.
func constElems(t *Tensor) []Dim {
	const small = 64
	if (t.Type != Int64 && t.Type != Int32) || len(t.Dims) > 1 || t.Count() > small || t.External != nil {
		return nil
	}
	ints, err := t.Ints()
	if err != nil {
		return nil
	}
	out := make([]Dim, len(ints))
	for i, n := range ints {
		out[i] = Const(n)
	}
	return out
}

// claim takes a name exactly as given.
func (b *Builder) claim(name string) string {
	if _, taken := b.names[name]; taken {
		b.Fail("name %q is taken", name)
	}
	b.names[name] = 0
	return name
}

// fresh makes a name from stem that nothing has yet.
func (b *Builder) fresh(stem string) string {
	for {
		b.names[stem]++
		name := fmt.Sprintf("%s_%d", stem, b.names[stem])
		if _, taken := b.names[name]; !taken {
			b.names[name] = 0
			return name
		}
	}
}
