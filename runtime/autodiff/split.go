package autodiff

import (
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Rung is what a forward graph keeps for its backward graph.
type Rung string

// The rungs, from most memory to least.
const (
	Stash     Rung = "stash"     // all but what is cheap to compute again
	Probs     Rung = "probs"     // as Stash, but no attention probabilities
	Recompute Rung = "recompute" // the inputs alone
)

// Spec says how to differentiate a stage.
type Spec struct {
	Outputs    []string // the outputs that a gradient comes in for
	Wrt        []string // the inputs whose gradient is computed
	Accumulate []string // those of Wrt whose gradient is added to one that comes in
	Keep       []string // outputs of the stage that the backward graph takes as they are
	Rung       Rung
}

// Pair is a stage cut into its two passes.
//
// Forward is the stage with Residuals as further outputs. Backward takes of the stage's inputs what it needs, Spec.Keep,
// Residuals, for each output o its gradient "d"+o, and "acc."+name for what is accumulated; it gives GradientName of each of
// Spec.Wrt. Where a gradient is accumulated, the last node that writes it may work in the memory of its acc.
type Pair struct {
	Forward, Backward *onnx.Graph
	Residuals         []string
}

// GradientName names the output that holds the gradient of an input: "dx" for the activation x, and "d.name" for others.
func GradientName(input string) string {
	if input == "x" {
		return "dx"
	}
	return "d." + input
}

// Split differentiates a stage's graph and cuts it.
func Split(stage *onnx.Graph, spec Spec) (*Pair, error) {
	work, _ := clone(stage)
	forward := slices.Clone(work.Nodes)
	var grads []*onnx.Value
	work, err := onnx.Extend(work, func(b *onnx.Builder) { grads = spec.differentiate(b, forward) })
	if err != nil {
		return nil, fmt.Errorf("split graph %s: %w", stage.Name, err)
	}
	c := newCut(work, forward, spec)
	for _, g := range grads {
		c.need(g)
	}
	return c.pair(stage, grads)
}

// differentiate adds the gradients of spec.Wrt, in their order.
func (spec Spec) differentiate(b *onnx.Builder, forward []*onnx.Node) []*onnx.Value {
	g := b.Graph()
	named := func(names []string, find func(string) *onnx.Value) []*onnx.Value {
		out := make([]*onnx.Value, len(names))
		for i, name := range names {
			if out[i] = find(name); out[i] == nil {
				b.Fail("there is no %s", name)
			}
		}
		return out
	}
	outputs, wrt := named(spec.Outputs, g.Output), named(spec.Wrt, g.Input)
	var seeds []*onnx.Value
	for _, o := range outputs {
		seeds = append(seeds, b.Input("d"+o.Name, o.Type, o.Shape...))
	}
	first := map[*onnx.Value]*onnx.Value{}
	for _, v := range named(spec.Accumulate, g.Input) {
		first[v] = b.Input("acc."+v.Name, v.Type, v.Shape...)
	}
	grads, err := gradient(b, forward, outputs, seeds, wrt, first)
	if err != nil {
		b.Fail("%w", err)
	}
	for i, d := range grads {
		if d == nil {
			b.Fail("the outputs do not depend on %s", spec.Wrt[i])
		}
	}
	return grads
}

// cut decides which values of the forward pass are kept and which are computed again.
type cut struct {
	spec      Spec
	work      *onnx.Graph
	forward   map[*onnx.Node]bool
	scores    map[*onnx.Node]bool    // see scoresOf
	kept      map[*onnx.Value]string // value → its name as an input of the backward graph
	residuals []*onnx.Value
	nodes     map[*onnx.Node]bool // of the backward graph
}

func newCut(work *onnx.Graph, forward []*onnx.Node, spec Spec) *cut {
	c := &cut{spec: spec, work: work, scores: scoresOf(forward), forward: map[*onnx.Node]bool{}, kept: map[*onnx.Value]string{}, nodes: map[*onnx.Node]bool{}}
	for _, n := range forward {
		c.forward[n] = true
	}
	for _, name := range spec.Keep {
		if v := work.Output(name); v != nil {
			c.kept[v] = name
		}
	}
	return c
}

// need makes a value available to the backward graph.
func (c *cut) need(v *onnx.Value) {
	if v == nil || v.Node == nil || c.kept[v] != "" || c.nodes[v.Node] && c.again(v) {
		return
	}
	if !c.again(v) {
		c.kept[v] = "r." + v.Name
		c.residuals = append(c.residuals, v)
		return
	}
	c.nodes[v.Node] = true
	for _, in := range v.Node.Inputs {
		c.need(in)
	}
}

// again reports whether a value is computed in the backward graph: all gradients are, and of the forward pass what is
// cheap.
func (c *cut) again(v *onnx.Value) bool {
	return !c.forward[v.Node] || c.spec.Rung == Recompute || cheap[v.Node.Op] || c.spec.Rung == Probs && c.scores[v.Node]
}

// cheap operators cost about as much to run again as to write down and read what they gave.
var cheap = map[string]bool{
	"Reshape": true, "Squeeze": true, "Unsqueeze": true, "Flatten": true, "Identity": true, "Expand": true, "Concat": true, "Cast": true,
	"Shape": true, "Mul": true, "Neg": true, "Sigmoid": true, "QuickGelu": true, "Relu": true, "SimplifiedLayerNormalization": true,
	"LayerNormalization": true, "RMSNormalization": true,
}

// scoresOf finds attention probabilities and what they are made of, softmax(q·kᵀ + mask) with heads apart, back to the
// product.
func scoresOf(nodes []*onnx.Node) map[*onnx.Node]bool {
	scores := map[*onnx.Node]bool{}
	for _, n := range nodes {
		if n.Op != "Softmax" || len(n.Outputs[0].Shape) < 4 {
			continue
		}
		for at := n; at != nil; at = at.Inputs[0].Node {
			scores[at] = true
			if at.Op != "Softmax" && at.Op != "Add" && at.Op != "Reshape" {
				break // the product
			}
		}
	}
	return scores
}
