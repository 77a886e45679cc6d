package exported

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/autodiff"
	"github.com/dpo-ort/dpo-ort/runtime/formula"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// check refuses what cannot be trained, all of it at once: control flow, operators whose shapes are not known or that have no gradient where
// one is needed, and weights in integers. It gives the operators there are.
func check(g *onnx.Graph, logits *onnx.Value) ([]Operator, error) {
	var wrong []string
	found := map[string]*Operator{}
	needed := map[*onnx.Value]bool{} // depends on a weight, as a number
	for _, n := range onnx.Ancestors(g.Nodes, []*onnx.Value{logits}) {
		on := slices.ContainsFunc(n.Inputs, func(v *onnx.Value) bool {
			return v != nil && (needed[v] || v.Const != nil && v.Type.IsFloat() && len(v.Shape) > 0)
		})
		for _, v := range n.Outputs {
			needed[v] = on && (v.Type.IsFloat() || v.Type == onnx.Undefined)
		}
		count(found, n, on && needed[n.Outputs[0]])
		if why := refusal(n, on && needed[n.Outputs[0]]); why != "" {
			wrong = append(wrong, fmt.Sprintf("%s (node %s)%s", operator(n), n.Name, why))
		}
	}
	if wrong != nil {
		return nil, fmt.Errorf("it cannot be trained, because of %s", strings.Join(wrong, ", "))
	}
	var all []Operator
	for _, name := range slices.Sorted(maps.Keys(found)) {
		all = append(all, *found[name])
	}
	return all, nil
}

// count notes how a node's operator is differentiated, if any node of it is.
func count(found map[string]*Operator, n *onnx.Node, differentiated bool) {
	name := operator(n)
	if found[name] == nil {
		found[name] = &Operator{Name: name, How: "not differentiated: sizes, masks and constants alone"}
	}
	of := found[name]
	of.Count++
	switch {
	case !differentiated:
	case formula.Has(n.Domain, n.Op):
		of.How = "differentiated as the plain operators that it is written out as"
	default:
		of.How = "differentiated by its rule"
	}
}

// refusal says why a node cannot be, "" where it can.
func refusal(n *onnx.Node, differentiated bool) string {
	for _, a := range n.Attrs {
		if _, nested := a.(*onnx.Graph); nested {
			return ": control flow"
		}
	}
	switch {
	case n.Op == "Constant" || formula.Has(n.Domain, n.Op):
		return ""
	case !onnx.HasRule(n.Domain, n.Op):
		return ": unknown here" + quantised(n.Op)
	case differentiated && !autodiff.HasRule(n):
		return ": without a gradient rule" + quantised(n.Op)
	}
	return ""
}

// quantised explains operators whose weights are no numbers to train.
func quantised(op string) string {
	for _, part := range []string{"NBits", "Quantize", "QLinear", "Bnb4", "Integer", "QAttention"} {
		if strings.Contains(op, part) {
			return ", of a quantised model: export it in float32"
		}
	}
	return ""
}

func operator(n *onnx.Node) string {
	if n.Domain == "" {
		return n.Op
	}
	return n.Domain + ":" + n.Op
}
