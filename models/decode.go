package models

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Graphs that continue sequences run in the places of stages' own. Those of blocks keep keys and values in a cache of M positions a
// sequence, [B,KV,M,d], which they extend in place: past_key and present_key are one tensor, as are the values. Letters beside
// those of Decoder: B sequences, S tokens of each.

// Prompt names the graph that runs whole prompts, padded on the right, where a stage's own runs a micro-batch.
func Prompt(graph string) string {
	if graph == HeadGraph {
		return Step(graph)
	}
	return graph + ".prompt"
}

// Step names the graph that runs the next token of each sequence.
func Step(graph string) string { return graph + ".step" }

// DecodeGraphs builds the graphs that Prompt and Step name, which compute in float32: attention is one operator, which is fast on the CPU
// and has no such kernel on a GPU, or plain operators.
func (d Decoder) DecodeGraphs(t Types, plain bool) (map[string]*onnx.Graph, error) {
	if t.Compute != onnx.Float32 {
		return nil, fmt.Errorf("build graphs that continue sequences: they compute in float32, not in %s", t.Compute)
	}
	ofPrompt, ofStep := (*cache).grouped, (*cache).groupedStep
	if plain {
		ofPrompt, ofStep = (*cache).plainPrompt, (*cache).plainStep
	}
	builders := map[string]func(*net){Step(HeadGraph): d.next}
	for _, kind := range d.Kinds() {
		builders[Prompt(kind.Graph)] = func(n *net) { d.prompt(n, kind, ofPrompt) }
		builders[Step(kind.Graph)] = func(n *net) { d.step(n, kind, ofStep) }
	}
	return buildAll(builders, t)
}

// A way to attend declares inputs: the cache, and what says where in it tokens lie. It gives what then takes queries, keys and values.
type way func(c *cache) attention

// attention extends a cache, in place, by keys and values, and attends to it.
type attention func(q, k, v *onnx.Value) *onnx.Value

// prompt is a layer over whole prompts [B·S,D], whose cache is empty; its attention takes and gives [B,S,·].
func (d Decoder) prompt(n *net, kind LayerKind, how way) {
	B, S := onnx.Sym("B"), onnx.Sym("S")
	x := n.Input("x", n.types.Compute, B.Mul(S), onnx.Const(int64(d.Hidden)))
	sequences := n.Input("sequences", onnx.Int64, onnx.Const(3))
	sequences.Elems = []onnx.Dim{B, S, onnx.Const(-1)}
	c := &cache{n, n.newLayout(d, kind, B.Mul(S)), kind}
	attend := how(c)
	apart := func(x *onnx.Value) *onnx.Value { return n.Op("Reshape", n.of(x, sequences), nil) }
	n.Output("y", d.layer(n, x, kind, c.layout, func(q, k, v *onnx.Value) *onnx.Value {
		return n.reshape(attend(apart(q), apart(k), apart(v)), -1, c.heads*c.headDim)
	}))
}

// step is a layer over one token of each sequence [B,D], as its attention takes and gives them.
func (d Decoder) step(n *net, kind LayerKind, how way) {
	n.few = true
	x := n.Input("x", n.types.Compute, onnx.Sym("B"), onnx.Const(int64(d.Hidden)))
	c := &cache{n, n.newLayout(d, kind, onnx.Sym("B")), kind}
	n.Output("y", d.layer(n, x, kind, c.layout, how(c)))
}

// next gives, of each row, the logits of all tokens [R,V], their log-sum-exp [R], and the tokens' probabilities [R,V] where logits are
// times sharpness, 1/temperature.
func (d Decoder) next(n *net) {
	n.few = true
	x := n.Input("x", n.types.Compute, onnx.Sym("R"), onnx.Const(int64(d.Hidden)))
	sharpness := n.Input("sharpness", n.types.Compute, onnx.Const(1))
	logits := d.logits(n, x, n.param("unembed", int64(d.Vocab), int64(d.Hidden)), onnx.Const(int64(d.Vocab)))
	n.Output("logits", logits)
	n.Output("lse", n.flat(n.logSumExp(logits)))
	n.Output("probs", n.Op("Softmax", n.of(n.mul(logits, sharpness)), onnx.Attrs{"axis": -1}))
}

// cache is a block's graph as it attends to tokens before.
type cache struct {
	*net
	*layout
	kind LayerKind
}

// past declares the keys and values before, in heads of so many entries.
func (c *cache) past(entries int64) past {
	before := []onnx.Dim{onnx.Sym("B"), onnx.Const(c.kvHeads), onnx.Sym("M"), onnx.Const(entries)}
	return past{keys: c.Input("past_key", c.types.Compute, before...), values: c.Input("past_value", c.types.Compute, before...)}
}

// present gives out those that the cache then holds.
func (c *cache) present(keys, values *onnx.Value) {
	c.Output("present_key", keys)
	c.Output("present_value", values)
}

// grouped attends by one operator: queries [B,S,H·d] to the keys in the cache and to their own, [B,S,KV·d].
func (c *cache) grouped() attention {
	p := c.past(c.padded())
	p.last, p.total = c.Input("last", onnx.Int32, onnx.Sym("B")), c.Input("total", onnx.Int32, onnx.Const(1))
	return func(q, k, v *onnx.Value) *onnx.Value {
		out, keys, values := c.net.grouped(q, k, v, p, c.layout, c.kind.Window)
		c.present(keys, values)
		return out
	}
}

// groupedStep is grouped for one token of each sequence, [B,·].
func (c *cache) groupedStep() attention {
	attend := c.grouped()
	alone := func(x *onnx.Value) *onnx.Value { return c.Op("Unsqueeze", c.of(x, c.Ints(1)), nil) }
	return func(q, k, v *onnx.Value) *onnx.Value { return c.flat(attend(alone(q), alone(k), alone(v))) }
}

// turned is w·xᵀ + bias, [out,T]: of few rows it is faster, since ONNX Runtime packs a product's right factor anew each time, and takes
// the left one as it lies.
func (n *net) turned(x, w, bias *onnx.Value) *onnx.Value {
	inputs := n.of(w, x)
	if bias != nil {
		inputs = append(inputs, n.Op("Unsqueeze", n.of(bias, n.Ints(1)), nil))
	}
	return n.Op("Gemm", inputs, onnx.Attrs{"transB": 1})
}
