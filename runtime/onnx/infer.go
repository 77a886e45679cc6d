package onnx

import (
	"errors"
	"fmt"
	"strings"
)

// A rule sets the type, the shape and, for small integer vectors, the elements of a node's outputs from its inputs.
// opset is the version of the operator's domain that the graph uses.
type rule func(n *Node, opset int64) error

type entry struct {
	rule
	inputs int // that must be there
}

var rules = map[string]entry{}

// register adds a rule for one or more operators, named "Op" or "domain:Op", that have at least so many inputs. Files
// of rules call it from init.
func register(inputs int, r rule, ops ...string) {
	for _, op := range ops {
		if _, twice := rules[op]; twice {
			panic("two shape rules for operator " + op)
		}
		rules[op] = entry{r, inputs}
	}
}

func opKey(n *Node) string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return n.Op
	}
	return n.Domain + ":" + n.Op
}

// HasRule reports whether types and shapes of this operator can be inferred.
func HasRule(domain, op string) bool {
	_, ok := rules[opKey(&Node{Domain: domain, Op: op})]
	return ok
}

// Infer sets the types and shapes of n's outputs. Errors name the node and the shapes it was given.
func Infer(n *Node, opset int64) error {
	r, ok := rules[opKey(n)]
	if !ok {
		return fmt.Errorf("node %s: no shape rule for operator %s", n.Name, opKey(n))
	}
	if err := r.infer(n, opset); err != nil {
		return fmt.Errorf("node %s: %s(%s): %w", n.Name, opKey(n), describe(n.Inputs), err)
	}
	return nil
}

func (e entry) infer(n *Node, opset int64) error {
	if len(n.Outputs) == 0 {
		return errors.New("it has no output")
	}
	for i := range e.inputs {
		if n.Input(i) == nil {
			return fmt.Errorf("input %d is missing", i)
		}
	}
	return e.rule(n, opset)
}

func describe(values []*Value) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = "-"
		if v != nil {
			parts[i] = fmt.Sprintf("%s %s%s", v.Name, v.Type, v.Shape)
		}
	}
	return strings.Join(parts, ", ")
}

// Broadcast is the shape of an elementwise operator over a and b: dimensions align from the right, and 1 stretches.
// Two sizes that differ only by name are taken to be equal when the graph runs.
func Broadcast(a, b Shape) (Shape, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	if len(a) < len(b) {
		a, b = b, a
	}
	out := append(Shape{}, a...)
	lead := len(a) - len(b)
	for i, d := range b {
		x, xFixed := a[lead+i].Const()
		y, yFixed := d.Const()
		switch {
		case xFixed && x == 1:
			out[lead+i] = d
		case yFixed && y == 1:
		case xFixed && yFixed && x != y:
			return nil, fmt.Errorf("sizes %d and %d do not broadcast (dimension %d of %s and %s)", x, y, lead+i, a, b)
		case yFixed:
			out[lead+i] = d
		}
	}
	return out, nil
}

// axis turns a negative axis into a position in a shape of that rank.
func axis(a int64, rank int) (int, error) {
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(rank) {
		return 0, fmt.Errorf("axis %d outside a shape of rank %d", a, rank)
	}
	return int(a), nil
}

func init() {
	register(1, sameAsFirst, "Identity", "Neg", "Exp", "Log", "Sqrt", "Tanh", "Sigmoid", "Relu", "Abs", "Erf", "Reciprocal",
		"Softmax", "LogSoftmax", "Clip", "Gelu", "Sign", "Floor", "Ceil", "Round", "Sin", "Cos", "Softplus", "Not",
		Microsoft+":QuickGelu", Microsoft+":RotaryEmbedding")
	register(2, elementwise, "Add", "Sub", "Mul", "Div", "Pow")
	register(1, elementwise, "Min", "Max")
}

func sameAsFirst(n *Node, _ int64) error {
	x := n.Inputs[0]
	n.Outputs[0].Type, n.Outputs[0].Shape = x.Type, x.Shape
	if given, there := n.Attrs["axis"]; there && x.Shape != nil && strings.HasSuffix(n.Op, "oftmax") {
		at, ok := given.(int64)
		if !ok {
			return fmt.Errorf("axis is %v: a whole number is needed", given)
		}
		if _, err := axis(at, len(x.Shape)); err != nil {
			return err
		}
	}
	switch n.Op {
	case "Identity":
		n.Outputs[0].Elems = x.Elems
	case "Neg":
		for _, d := range x.Elems {
			n.Outputs[0].Elems = append(n.Outputs[0].Elems, Dim{}.Sub(d))
		}
	}
	return nil
}

func elementwise(n *Node, _ int64) error {
	out := n.Outputs[0]
	out.Type, out.Shape = n.Inputs[0].Type, n.Inputs[0].Shape
	for _, in := range n.Inputs[1:] {
		if in == nil {
			return errors.New("an input is missing")
		}
		s, err := Broadcast(out.Shape, in.Shape)
		if err != nil {
			return err
		}
		out.Shape = s
		if in.Type != out.Type && n.Op != "Pow" && n.Op != "BitShift" {
			return fmt.Errorf("types %s and %s differ", out.Type, in.Type)
		}
	}
	out.Elems = elementwiseElems(n)
	return nil
}

// quotient is x / y, of numbers rounded toward zero.
func quotient(x, y Dim) (Dim, bool) {
	a, fixed := x.Const()
	b, too := y.Const()
	if fixed && too && b != 0 {
		return Const(a / b), true
	}
	return x.Div(y)
}

// elementwiseElems computes with sizes as the operator does with integers.
func elementwiseElems(n *Node) []Dim {
	if len(n.Inputs) != 2 || n.Inputs[0].Elems == nil || n.Inputs[1].Elems == nil {
		return nil
	}
	a, b := n.Inputs[0].Elems, n.Inputs[1].Elems
	if len(a) != len(b) && len(a) != 1 && len(b) != 1 {
		return nil
	}
	out := make([]Dim, 0, max(len(a), len(b)))
	for i := range max(len(a), len(b)) {
		x, y := a[min(i, len(a)-1)], b[min(i, len(b)-1)]
		switch n.Op {
		case "Add":
			out = append(out, x.Add(y))
		case "Sub":
			out = append(out, x.Sub(y))
		case "Mul":
			out = append(out, x.Mul(y))
		case "Div":
			d, ok := quotient(x, y)
			if !ok {
				return nil
			}
			out = append(out, d)
		case "Mod":
			a, fixed := x.Const()
			b, too := y.Const()
			if !fixed || !too || b <= 0 || n.Int("fmod", 0) != 0 {
				return nil
			}
			out = append(out, Const((a%b+b)%b))
		default:
			return nil
		}
	}
	return out
}
