package loss

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/internal/wording"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// lossesOutput is the output that a file's graph must have.
const lossesOutput = "losses"

// oldestOpset is that of a file's graph at least: the reductions of older ones are written otherwise than those that its gradient is made of.
const oldestOpset = 18

// FromFile makes a loss of an ONNX model: a graph from some of the inputs that the package comment lists, policy_logps among them, to losses [G].
// They are float32 or float64, and dimensions may have any names; one of 2 in the place of K makes it a loss of pairs. What is not as it must be
// is refused by input, output or node. A loss that does not read reference_logps is free of a reference, one that reads neither wins nor rivals
// takes no divided choices, and one that reads margin needs the column. The sum of losses, rewards and the gradient are added to the graph.
func FromFile(name string, data []byte) (*Loss, error) {
	sum := sha256.Sum256(data)
	l := &Loss{Name: name, Says: "the user's own graph", Paper: "a file", data: data, Digest: hex.EncodeToString(sum[:])}
	g, err := l.parse()
	if err != nil {
		return nil, fmt.Errorf("loss %s: %w", name, err)
	}
	reads := func(input string) bool { return g.Input(input) != nil }
	l.Free, l.Divided = !reads("reference_logps"), reads("wins") || reads("rivals")
	l.Pairs = g.Input("policy_logps").Shape[1].Is(2)
	if reads("margin") {
		l.Columns = []string{"margin"}
	}
	for _, s := range []settings.Setting{beta, labelSmoothing} {
		if reads(s.Name) {
			l.Settings = append(l.Settings, s)
		}
	}
	return l, nil
}

// Identity is the loss's name, and of a file what is in it.
func (l *Loss) Identity() string {
	if l.Digest == "" {
		return l.Name
	}
	return l.Name + " " + l.Digest
}

// documented are the inputs that a file's graph may have, with their shapes.
func documented(completions onnx.Dim) map[string]onnx.Shape {
	groups, choices := onnx.Sym("G"), onnx.Sym("Q")
	each, row := onnx.Shape{groups, completions}, onnx.Shape{groups}
	return map[string]onnx.Shape{
		"policy_logps": each, "reference_logps": each, "lengths": each, "wins": each, "rivals": {groups, choices, completions},
		"choices": {groups, choices}, "margin": row, "weight": row, "mean_tokens": {}, beta.Name: {}, labelSmoothing.Name: {},
	}
}

// parse reads the file's graph, gives its inputs their documented shapes, and infers all others anew.
func (l *Loss) parse() (*onnx.Graph, error) {
	g, err := onnx.Unmarshal(l.data)
	if err != nil {
		return nil, err
	}
	if opset := g.Opsets[""]; opset < oldestOpset || opset > onnx.Opset {
		return nil, fmt.Errorf("it is written in opset %d: %d to %d are understood", opset, oldestOpset, onnx.Opset)
	}
	if err := shapeInputs(g); err != nil {
		return nil, err
	}
	for _, n := range g.Nodes {
		for _, out := range n.Outputs {
			out.Elems = nil
		}
		if err := onnx.Infer(n, g.Opsets[n.Domain]); err != nil {
			return nil, err
		}
	}
	losses := g.Output(lossesOutput)
	switch {
	case losses == nil:
		return nil, fmt.Errorf("it has no output %s [G]; its outputs are %s", lossesOutput, wording.And(namesOf(g.Outputs)))
	case losses.Node == nil:
		return nil, fmt.Errorf("output %s is an input or a constant, not computed by any node", lossesOutput)
	case losses.Type != onnx.Float32 && losses.Type != onnx.Float64 || len(losses.Shape) != 1 || !losses.Shape[0].Equal(onnx.Sym("G")):
		return nil, fmt.Errorf("output %s, of node %s, is %s%s: a number for each group, [G], in float32 or float64 is needed", lossesOutput, losses.Node.Name, losses.Type, losses.Shape)
	}
	g.Outputs = []*onnx.Value{losses}
	return g, nil
}

func namesOf(values []*onnx.Value) (names []string) {
	for _, v := range values {
		names = append(names, v.Name)
	}
	return names
}

// shapeInputs refuses inputs that are not documented, or not of a shape that theirs can be.
func shapeInputs(g *onnx.Graph) error {
	completions := onnx.Sym("K")
	policy := g.Input("policy_logps")
	if policy == nil {
		return fmt.Errorf("it has no input policy_logps [G,K]; its inputs are %s", wording.And(namesOf(g.Inputs)))
	}
	if len(policy.Shape) == 2 && policy.Shape[1].Is(2) {
		completions = onnx.Const(2)
	}
	shapes := documented(completions)
	for _, in := range g.Inputs {
		want, ok := shapes[in.Name]
		switch {
		case !ok:
			return fmt.Errorf("input %s is unknown: %s are there", in.Name, wording.And(slices.Sorted(maps.Keys(shapes))))
		case in.Type != onnx.Float32 && in.Type != onnx.Float64:
			return fmt.Errorf("input %s is %s: float32 or float64 is needed", in.Name, in.Type)
		case in.Shape == nil || !stands(in.Shape, want):
			return fmt.Errorf("input %s has the shape %s: %s is needed, with names in the place of numbers but for K = 2", in.Name, in.Shape, want)
		}
		in.Shape = want
	}
	return nil
}

// stands reports whether a declared shape can be the one wanted: a dimension of it is free, or the same number.
func stands(declared, want onnx.Shape) bool {
	return slices.EqualFunc(declared, want, func(d, w onnx.Dim) bool {
		n, fixed := d.Const()
		return !fixed || w.Is(n)
	})
}

// extended is the file's graph with the outputs of [Graph], in element type t where they are not the file's.
func (l *Loss) extended(t onnx.DType) (*onnx.Graph, error) {
	g, err := l.parse()
	if err != nil {
		return nil, fmt.Errorf("loss %s: %w", l.Name, err)
	}
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			if v != g.Output(lossesOutput) && slices.Contains([]string{"loss", "rewards", "dlogps", "weight", beta.Name, "reference_logps"}, v.Name) {
				v.Name = "user." + v.Name
			}
		}
	}
	return onnx.Extend(g, func(b *onnx.Builder) {
		f := formula{b, t}
		weight := f.wanted("weight", onnx.Sym("G"))
		b.Output("loss", f.Op("ReduceSum", []*onnx.Value{f.mul(weight, f.cast(g.Output(lossesOutput))), f.Ints(0)}, onnx.Attrs{"keepdims": 1}))
		ratios := f.cast(g.Input("policy_logps"))
		if reference := g.Input("reference_logps"); reference != nil {
			ratios = f.sub(ratios, f.cast(reference))
		}
		b.Output("rewards", f.mul(f.wanted(beta.Name), ratios))
	})
}

// wanted is an input of the file's graph, or a new one where it has none of that name.
func (f formula) wanted(name string, dims ...onnx.Dim) *onnx.Value {
	if in := f.Graph().Input(name); in != nil {
		return f.cast(in)
	}
	return f.Input(name, f.t, dims...)
}

func (f formula) cast(x *onnx.Value) *onnx.Value {
	if x.Type == f.t {
		return x
	}
	return f.Op("Cast", []*onnx.Value{x}, onnx.Attrs{"to": int64(f.t)})
}

// IsFile reports whether the name of a loss is that of a file.
func IsFile(name string) bool {
	return strings.HasSuffix(name, ".onnx") && !strings.ContainsAny(name, "=,")
}
