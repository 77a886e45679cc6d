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

// DecodeGraphs builds the graphs that Prompt and Step name, which compute in float32: fused, with attention in one operator, which is fast
// on the CPU and has no such kernel on a GPU; or by plain operators.
func (d Decoder) DecodeGraphs(t Types, fused bool) (map[string]*onnx.Graph, error) {
	if t.Compute != onnx.Float32 {
		return nil, fmt.Errorf("build graphs that continue sequences: they compute in float32, not in %s", t.Compute)
	}
	prompt, step := d.writtenPrompt, d.writtenStep
	if fused {
		prompt, step = d.prompt, d.step
	}
	builders := map[string]func(*net){Step(HeadGraph): d.next}
	for _, kind := range d.Kinds() {
		builders[Prompt(kind.Graph)] = func(n *net) { prompt(n, kind) }
		builders[Step(kind.Graph)] = func(n *net) { step(n, kind) }
	}
	return buildAll(builders, t)
}

// prompt is a layer over whole prompts [B·S,D], whose cache is empty.
func (d Decoder) prompt(n *net, kind LayerKind) {
	B, S := onnx.Sym("B"), onnx.Sym("S")
	x := n.Input("x", n.types.Compute, B.Mul(S), onnx.Const(int64(d.Hidden)))
	sequences := n.Input("sequences", onnx.Int64, onnx.Const(3))
	sequences.Elems = []onnx.Dim{B, S, onnx.Const(-1)}
	c := n.cache(d, kind, B.Mul(S))
	apart := func(x *onnx.Value) *onnx.Value { return n.Op("Reshape", n.of(x, sequences), nil) }
	n.Output("y", d.layer(n, x, kind, c.layout, func(q, k, v *onnx.Value) *onnx.Value {
		return n.reshape(n.cached(apart(q), apart(k), apart(v), c), -1, int64(d.Heads*d.HeadDim))
	}))
}

// step is a layer over one token of each sequence [B,D].
func (d Decoder) step(n *net, kind LayerKind) {
	n.few = true
	x := n.Input("x", n.types.Compute, onnx.Sym("B"), onnx.Const(int64(d.Hidden)))
	c := n.cache(d, kind, onnx.Sym("B"))
	alone := func(x *onnx.Value) *onnx.Value { return n.Op("Unsqueeze", n.of(x, n.Ints(1)), nil) }
	n.Output("y", d.layer(n, x, kind, c.layout, func(q, k, v *onnx.Value) *onnx.Value {
		return n.flat(n.cached(alone(q), alone(k), alone(v), c))
	}))
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

// cache holds a block's inputs that say where tokens lie, and what came before them.
type cache struct {
	*layout
	past
	window int
}

func (n *net) cache(d Decoder, kind LayerKind, rows onnx.Dim) *cache {
	t := n.types.Compute
	c := &cache{layout: n.newLayout(d, kind, rows), window: kind.Window}
	before := []onnx.Dim{onnx.Sym("B"), onnx.Const(c.kvHeads), onnx.Sym("M"), onnx.Const(c.padded())}
	c.keys, c.values = n.Input("past_key", t, before...), n.Input("past_value", t, before...)
	c.last, c.total = n.Input("last", onnx.Int32, onnx.Sym("B")), n.Input("total", onnx.Int32, onnx.Const(1))
	return c
}

// cached is attention of queries [B,S,H·d] to the keys in the cache and to their own, [B,S,KV·d], which go into it.
func (n *net) cached(q, k, v *onnx.Value, c *cache) *onnx.Value {
	out, keys, values := n.grouped(q, k, v, c.past, c.layout, c.window)
	n.Output("present_key", keys)
	n.Output("present_value", values)
	return out
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
