// Package autodiff differentiates graphs: the gradient of a graph is a graph of plain operators.
//
// [Gradient] is one reverse sweep. For each node, from the last to the first, the rule of its operator turns the
// gradients of its outputs into contributions to those of its inputs; a value's gradient is the sum of its
// contributions. A rule states the mathematics of its operator and nothing else: broadcasting is undone once, in the
// sweep, and rules stand in files by family (rules_*.go), which register them.
//
// [Split] cuts a differentiated stage of a model into a forward and a backward graph, and decides what passes between
// them.
//
// # Caveats
//
// Gradients that are scattered by index add duplicates in a fixed order: ScatterElements only, since ScatterND races
// on the CPU. Ranks must be known, and which dimensions are 1.
package autodiff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Gradient adds to b's graph the nodes that compute the gradient of Σ ⟨outputs[i], seeds[i]⟩ by each of wrt. A value that the
// outputs do not depend on gets nil. An error lists every operator on the way that has no rule, before anything is added.
func Gradient(b *onnx.Builder, outputs, seeds, wrt []*onnx.Value) ([]*onnx.Value, error) {
	return gradient(b, b.Graph().Nodes, outputs, seeds, wrt, nil)
}

// gradient sweeps over the given nodes. first holds what is added to before anything else, by value.
func gradient(b *onnx.Builder, nodes []*onnx.Node, outputs, seeds, wrt []*onnx.Value, first map[*onnx.Value]*onnx.Value) ([]*onnx.Value, error) {
	nodes = slices.Clone(nodes) // the builder appends to its own
	s := &sweep{Builder: b, needed: dependents(nodes, wrt), sums: map[*onnx.Value]*sum{}, reads: readers(nodes, outputs)}
	reached := ancestors(nodes, outputs)
	if err := missingRules(nodes, s.needed, reached); err != nil {
		return nil, err
	}
	for v, start := range first {
		s.sums[v] = &sum{dense: start}
	}
	for i, out := range outputs {
		s.add(out, seeds[i])
	}
	for _, n := range slices.Backward(nodes) {
		if reached[n] && slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return s.needed[v] }) {
			s.visit(n)
		}
	}
	grads := make([]*onnx.Value, len(wrt))
	for i, v := range wrt {
		grads[i] = s.gradient(v)
	}
	return grads, nil
}

// readers lists the nodes that read each value; whoever reads an output is nil.
func readers(nodes []*onnx.Node, outputs []*onnx.Value) map[*onnx.Value][]*onnx.Node {
	reads := map[*onnx.Value][]*onnx.Node{}
	for _, n := range nodes {
		for _, v := range n.Inputs {
			reads[v] = append(reads[v], n)
		}
	}
	for _, v := range outputs {
		reads[v] = append(reads[v], nil)
	}
	return reads
}

// dependents are the values that depend on any of wrt, and are floating-point numbers. A node whose metadata says
// "gradient": "none" counts as a constant.
func dependents(nodes []*onnx.Node, wrt []*onnx.Value) map[*onnx.Value]bool {
	needed := map[*onnx.Value]bool{}
	for _, v := range wrt {
		needed[v] = true
	}
	for _, n := range nodes {
		if constant[key(n)] || n.Meta["gradient"] == "none" || !slices.ContainsFunc(n.Inputs, func(v *onnx.Value) bool { return needed[v] }) {
			continue
		}
		for _, v := range n.Outputs {
			needed[v] = v.Type.IsFloat()
		}
	}
	return needed
}

// ancestors are the nodes that the outputs depend on.
func ancestors(nodes []*onnx.Node, outputs []*onnx.Value) map[*onnx.Node]bool {
	wanted := map[*onnx.Value]bool{}
	for _, v := range outputs {
		wanted[v] = true
	}
	reached := map[*onnx.Node]bool{}
	for _, n := range slices.Backward(nodes) {
		if slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return wanted[v] }) {
			reached[n] = true
			for _, v := range n.Inputs {
				wanted[v] = true
			}
		}
	}
	return reached
}

func missingRules(nodes []*onnx.Node, needed map[*onnx.Value]bool, reached map[*onnx.Node]bool) error {
	var missing []string
	for _, n := range nodes {
		if _, ok := rules[key(n)]; ok || !reached[n] || !slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return needed[v] }) {
			continue
		}
		missing = append(missing, fmt.Sprintf("%s (node %s)", key(n), n.Name))
	}
	if missing != nil {
		return fmt.Errorf("differentiate graph: no gradient rule for %s", strings.Join(missing, ", "))
	}
	return nil
}

// A rule gives the contributions to the gradients of a node's inputs, from those of its outputs. It reads dy(i), nil where
// nothing flows into output i, and gives or scatters to each input.
type rule func(s *sweep, n *onnx.Node)

var rules = map[string]rule{}

// constant operators have a derivative of zero everywhere that they have one, or no numbers to differentiate by.
var constant = map[string]bool{}

// register adds a rule for operators. Files of rules call it from init.
func register(r rule, ops ...string) {
	for _, op := range ops {
		if _, twice := rules[op]; twice || constant[op] {
			panic("two gradient rules for operator " + op)
		}
		rules[op] = r
	}
}

func registerConstant(ops ...string) {
	for _, op := range ops {
		constant[op] = true
	}
}

// key names an operator as rules are registered: "Op" or "domain:Op".
func key(n *onnx.Node) string {
	if n.Domain == "" {
		return n.Op
	}
	return n.Domain + ":" + n.Op
}

// Operators lists the operators that have a gradient rule, sorted.
func Operators() []string {
	var names []string
	for name := range rules {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// HasRule reports whether a node can be differentiated, or has a derivative of zero.
func HasRule(n *onnx.Node) bool {
	_, ok := rules[key(n)]
	return ok || constant[key(n)]
}
