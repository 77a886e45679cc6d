package artifact

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Verify proves what running the graphs relies on: every stage's graph is there with all its parameters, and every
// alias is safe.
func (a *Artifact) Verify() error {
	if err := a.check(); err != nil {
		return err
	}
	for _, s := range a.Stages {
		g, ok := a.Graphs[s.Graph]
		if !ok {
			return fmt.Errorf("stage %s: graph %s is missing", s.Name, s.Graph)
		}
		for _, p := range slices.Sorted(maps.Keys(s.Params)) {
			if g.Input(p) == nil {
				return fmt.Errorf("stage %s: graph %s has no input %s", s.Name, s.Graph, p)
			}
			if s.Params[p].Tensor == "" {
				return fmt.Errorf("stage %s: parameter %s names no tensor", s.Name, p)
			}
		}
		for _, x := range s.Inputs {
			if g.Input(x) == nil {
				return fmt.Errorf("stage %s: graph %s has no input %s", s.Name, s.Graph, x)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Aliases)) {
		g, ok := a.Graphs[name]
		if !ok {
			return fmt.Errorf("aliases of graph %s: the graph is missing", name)
		}
		if err := VerifyAliases(g, a.Aliases[name]); err != nil {
			return fmt.Errorf("graph %s: %w", name, err)
		}
	}
	return nil
}

// check checks what a manifest says by itself.
func (m Manifest) check() error {
	for _, name := range slices.Sorted(maps.Keys(m.Dims)) {
		if m.Dims[name] <= 0 {
			return fmt.Errorf("dims: %s is %d: a positive size is needed", name, m.Dims[name])
		}
	}
	for field, name := range map[string]string{"compute": m.Compute, "weights": m.Weights} {
		if _, err := onnx.ParseDType(name); name != "" && err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	if m.Opset < 0 {
		return fmt.Errorf("opset is %d: a version is needed", m.Opset)
	}
	seen := map[string]bool{}
	for i, s := range m.Stages {
		if s.Name == "" || seen[s.Name] {
			return fmt.Errorf("stage %d has the name %q, which is empty or another's", i, s.Name)
		}
		seen[s.Name] = true
	}
	return nil
}

// VerifyAliases checks that each output may share memory with its input: the node that writes the output must depend
// on every other node that reads the input, for otherwise one of them may run after the memory has changed. Shapes
// and types must be the same, no second output may share the input, and the input itself must not be an output.
func VerifyAliases(g *onnx.Graph, aliases map[string]string) error {
	shared := map[string]string{}
	for _, output := range slices.Sorted(maps.Keys(aliases)) {
		input := aliases[output]
		if other, twice := shared[input]; twice {
			return fmt.Errorf("%w: outputs %s and %s both share input %s", ErrAlias, other, output, input)
		}
		shared[input] = output
		if err := verifyAlias(g, output, input); err != nil {
			return err
		}
	}
	return nil
}

func verifyAlias(g *onnx.Graph, output, input string) error {
	out, in := g.Output(output), g.Input(input)
	switch {
	case out == nil || in == nil:
		return fmt.Errorf("%w: output %s and input %s: not both in the graph", ErrAlias, output, input)
	case out.Type != in.Type || !out.Shape.Equal(in.Shape):
		return fmt.Errorf("%w: output %s %s%s and input %s %s%s differ", ErrAlias, output, out.Type, out.Shape, input, in.Type, in.Shape)
	case out.Node == nil:
		return fmt.Errorf("%w: output %s is no node's", ErrAlias, output)
	}
	before := ancestors(out.Node)
	seen := views(g, in)
	var late []string
	for _, n := range g.Nodes {
		reads := slices.ContainsFunc(n.Inputs, func(v *onnx.Value) bool { return seen[v] })
		switch {
		case reads && n == out.Node && !inPlace[n.Op]:
			return fmt.Errorf("%w: node %s (%s) reads input %s while it writes output %s", ErrAlias, n.Name, n.Op, input, output)
		case reads && n != out.Node && !before[n]:
			late = append(late, n.Name)
		}
	}
	if late != nil {
		return fmt.Errorf("%w: node %s overwrites input %s by output %s, and may run before node %s has read it",
			ErrAlias, out.Node.Name, input, output, strings.Join(late, ", "))
	}
	return nil
}

// inPlace operators read each element of their first inputs no later than they write it. GroupQueryAttention reads the keys and
// values of a cache, and writes behind them.
var inPlace = map[string]bool{"Add": true, "Sub": true, "Mul": true, "Div": true, "ScatterElements": true, "ScatterND": true, "Identity": true,
	"GroupQueryAttention": true}

// viewing operators may pass their input's memory on under another shape.
var viewing = map[string]bool{"Reshape": true, "Squeeze": true, "Unsqueeze": true, "Flatten": true, "Identity": true}

// views are in and all values that may be the same memory.
func views(g *onnx.Graph, in *onnx.Value) map[*onnx.Value]bool {
	same := map[*onnx.Value]bool{in: true}
	for _, n := range g.Nodes {
		if viewing[n.Op] && same[n.Inputs[0]] {
			same[n.Outputs[0]] = true
		}
	}
	return same
}

// ancestors are the nodes that n needs to have run.
func ancestors(n *onnx.Node) map[*onnx.Node]bool {
	seen := map[*onnx.Node]bool{}
	var visit func(*onnx.Node)
	visit = func(n *onnx.Node) {
		for _, v := range n.Inputs {
			if v != nil && v.Node != nil && !seen[v.Node] {
				seen[v.Node] = true
				visit(v.Node)
			}
		}
	}
	visit(n)
	return seen
}
