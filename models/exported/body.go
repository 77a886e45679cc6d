package exported

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// body makes of the whole graph the one up to the head: weights are inputs, ids and masks come as int64, and the rows are picked whose
// logits are asked for.
func (m *Model) body(g *onnx.Graph, c *cut, places map[*onnx.Value]string) error {
	g.Name, g.Outputs = "body", nil
	g.Nodes = onnx.Ancestors(g.Nodes, []*onnx.Value{c.hidden})
	if err := m.pastRead(g); err != nil {
		return err
	}
	m.nameInputs(g)
	lifted := map[string]*onnx.Value{}
	var turns []*onnx.Node
	for v, name := range places {
		if !read(g, v) {
			continue
		}
		w := lifted[name]
		if w == nil {
			w = &onnx.Value{Name: name, Type: onnx.Float32, Shape: onnx.Dims(m.Weights[name].Shape...)}
			lifted[name] = w
		}
		stand := w
		if m.Weights[name].constants[v.Name] {
			turn := &onnx.Node{Op: "Transpose", Name: "turned " + name, Inputs: []*onnx.Value{w}, Attrs: onnx.Attrs{"perm": []int64{1, 0}}}
			stand = &onnx.Value{Name: "turned " + name, Type: onnx.Float32, Shape: v.Shape, Node: turn}
			turn.Outputs = []*onnx.Value{stand}
			turns = append(turns, turn)
		}
		replace(g, v, stand)
	}
	slices.SortFunc(turns, func(a, b *onnx.Node) int { return strings.Compare(a.Name, b.Name) })
	g.Nodes = append(turns, g.Nodes...)
	for _, name := range m.Tensors() {
		if lifted[name] != nil {
			g.Inputs = append(g.Inputs, lifted[name])
		}
	}
	var err error
	m.Body, err = onnx.Extend(g, func(b *onnx.Builder) {
		rows := b.Input(Rows, onnx.Int64, onnx.Sym("R"))
		hidden := b.Op("Reshape", []*onnx.Value{c.hidden, b.Ints(-1, int64(m.Hidden))}, nil)
		b.Output("y", b.Op("Gather", []*onnx.Value{hidden, rows}, nil))
	})
	return err
}

// nameInputs calls the inputs as the engine does, gives them its type, and drops those that nothing reads.
func (m *Model) nameInputs(g *onnx.Graph) {
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			if slices.Contains([]string{IDs, Mask, Positions, Rows, "y"}, v.Name) {
				v.Name += " of the file"
			}
		}
	}
	var inputs []*onnx.Value
	var casts []*onnx.Node
	for i, in := range g.Inputs {
		is := m.Roles[i].Is
		if !read(g, in) || is == isPast {
			continue
		}
		if in.Name = is; in.Type == onnx.Int64 {
			inputs = append(inputs, in)
			continue
		}
		whole := &onnx.Value{Name: is, Type: onnx.Int64, Shape: in.Shape}
		cast := &onnx.Node{Op: "Cast", Name: "cast " + is, Inputs: []*onnx.Value{whole}, Attrs: onnx.Attrs{"to": int64(in.Type)}}
		cast.Outputs = []*onnx.Value{{Name: "cast " + is, Type: in.Type, Shape: in.Shape, Node: cast}}
		replace(g, in, cast.Outputs[0])
		inputs, casts = append(inputs, whole), append(casts, cast)
	}
	g.Inputs, g.Nodes = inputs, append(casts, g.Nodes...)
}

// read reports whether any node reads a value.
func read(g *onnx.Graph, v *onnx.Value) bool {
	return slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return slices.Contains(n.Inputs, v) })
}

// replace makes all that read a value read another.
func replace(g *onnx.Graph, v, by *onnx.Value) {
	for _, n := range g.Nodes {
		for i, in := range n.Inputs {
			if in == v {
				n.Inputs[i] = by
			}
		}
	}
}

// pastRead refuses a model that does more with its cache than put it before its own keys and values.
func (m *Model) pastRead(g *onnx.Graph) error {
	for i, in := range g.Inputs {
		if m.Roles[i].Is == isPast && read(g, in) {
			at := slices.IndexFunc(g.Nodes, func(n *onnx.Node) bool { return slices.Contains(n.Inputs, in) })
			return fmt.Errorf("input %s is read by %s (node %s), which cannot do with an empty one: export the model without past", in.Name, operator(g.Nodes[at]), g.Nodes[at].Name)
		}
	}
	return nil
}
