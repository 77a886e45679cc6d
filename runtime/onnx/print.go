package onnx

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// String prints the graph as text: its inputs and outputs, then one node a line.
//
//	scaled(x float32[T,64]) -> (y float32[T,64])
//	  y float32[T,64] = Mul(x, const_1=0.5)
func (g *Graph) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s(%s) -> (%s)\n", g.Name, typed(g.Inputs), typed(g.Outputs))
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "  %s = %s%s(%s)\n", typed(n.Outputs), opKey(n), attrText(n.Attrs), operands(n.Inputs))
	}
	return b.String()
}

func typed(values []*Value) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = "-"
		if v != nil {
			parts[i] = fmt.Sprintf("%s %s%s", v.Name, v.Type, v.Shape)
		}
	}
	return strings.Join(parts, ", ")
}

func operands(values []*Value) string {
	parts := make([]string, len(values))
	for i, v := range values {
		switch {
		case v == nil:
			parts[i] = "-"
		case v.Const != nil:
			parts[i] = v.Name + "=" + v.Const.text()
		default:
			parts[i] = v.Name
		}
	}
	return strings.Join(parts, ", ")
}

func attrText(attrs Attrs) string {
	if len(attrs) == 0 {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		switch v := attrs[name].(type) {
		case *Tensor:
			parts = append(parts, name+"="+v.text())
		case *Graph:
			parts = append(parts, name+"={"+v.Name+"}")
		default:
			parts = append(parts, fmt.Sprintf("%s=%v", name, v))
		}
	}
	return "<" + strings.Join(parts, " ") + ">"
}

// text shows a small tensor's elements, a large one's type and shape.
func (t *Tensor) text() string {
	const few = 8
	if t.Count() > few {
		return t.Type.String() + Dims(t.Dims...).String()
	}
	if values, err := t.Floats(); err == nil {
		return strings.Join(strings.Fields(fmt.Sprint(values)), ",")
	}
	return t.Type.String() + Dims(t.Dims...).String()
}
