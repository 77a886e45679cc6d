// Package formula writes operators out: those that ONNX Runtime's optimizer fuses, and those of newer opsets, become the plain operators
// that their definitions are made of. So a graph that has them can be differentiated, and runs where no kernel of them is.
//
// Operators stand in files by family, which register them. Attention is written for a cache that is empty: what was there before is taken
// to be of size 0, as training has it.
package formula

import (
	"maps"
	"math"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// A formula gives a node's outputs; those that it leaves out nobody may read.
type formula func(w *writer, n *onnx.Node) []*onnx.Value

// entry is a formula with the number of inputs that must be there.
type entry struct {
	formula
	inputs int
}

var formulas = map[string]entry{}

func register(op string, inputs int, f formula) {
	if Has("", op) {
		panic("two formulas for operator " + op)
	}
	formulas[op] = entry{f, inputs}
}

// Operators lists the operators that have a formula, as "Op" or "domain:Op", sorted.
func Operators() []string { return slices.Sorted(maps.Keys(formulas)) }

// Has reports whether an operator has one.
func Has(domain, op string) bool {
	_, ok := formulas[key(domain, op)]
	return ok
}

func key(domain, op string) string {
	if domain == "" {
		return op
	}
	return domain + ":" + op
}

// WriteOut gives what stands in the place of a node; nil for the node itself. It is what [onnx.Rewriting] asks for.
func WriteOut(b *onnx.Builder, n *onnx.Node, _ int64) []*onnx.Value {
	of, ok := formulas[key(n.Domain, n.Op)]
	if !ok {
		return nil
	}
	w := &writer{b, n}
	for i := range of.inputs {
		w.needs(i)
	}
	return of.formula(w, n)
}

// writer is the builder that formulas are written with, and the node that is written out.
type writer struct {
	*onnx.Builder
	node *onnx.Node
}

func (w *writer) op(name string, inputs ...*onnx.Value) *onnx.Value { return w.Op(name, inputs, nil) }

func (w *writer) add(a, b *onnx.Value) *onnx.Value { return w.op("Add", a, b) }
func (w *writer) mul(a, b *onnx.Value) *onnx.Value { return w.op("Mul", a, b) }

// plus is a + b, which may be absent.
func (w *writer) plus(a, b *onnx.Value) *onnx.Value {
	if b == nil {
		return a
	}
	return w.add(a, b)
}

func (w *writer) times(a *onnx.Value, c float64) *onnx.Value {
	if c == 1 {
		return a
	}
	return w.mul(a, w.Scalar(a.Type, c))
}

func (w *writer) cast(a *onnx.Value, t onnx.DType) *onnx.Value {
	if a.Type == t {
		return a
	}
	return w.Op("Cast", []*onnx.Value{a}, onnx.Attrs{"to": int64(t)})
}

func (w *writer) transpose(a *onnx.Value, perm ...int64) *onnx.Value {
	return w.Op("Transpose", []*onnx.Value{a}, onnx.Attrs{"perm": perm})
}

func (w *writer) reshape(a *onnx.Value, to ...int64) *onnx.Value {
	return w.op("Reshape", a, w.Ints(to...))
}

// size is a dimension that must be known.
func (w *writer) size(v *onnx.Value, at int) int64 {
	if v.Shape == nil || at >= len(v.Shape) {
		w.Fail("node %s: the rank of an input of %s is not known", w.node.Name, w.node.Op)
	}
	n, ok := v.Shape[at].Const()
	if !ok {
		w.Fail("node %s: dimension %d of an input of %s is %s: a number is needed", w.node.Name, at, w.node.Op, v.Shape)
	}
	return n
}

// needs is an input that must be there.
func (w *writer) needs(i int) *onnx.Value {
	v := w.node.Input(i)
	if v == nil {
		w.Fail("node %s: %s lacks its input %d", w.node.Name, w.node.Op, i)
	}
	return v
}

// positive is an attribute that counts something.
func (w *writer) positive(name string) int64 {
	n := w.node.Int(name, 0)
	if n <= 0 {
		w.Fail("node %s: %s of %s is %d", w.node.Name, name, w.node.Op, n)
	}
	return n
}

// none refuses an input, or an attribute that is not 0, which the formula has no place for.
func (w *writer) none(input int, attributes ...string) {
	if input >= 0 && w.node.Input(input) != nil {
		w.Fail("node %s: %s with input %d is not supported", w.node.Name, key(w.node.Domain, w.node.Op), input)
	}
	for _, name := range attributes {
		if w.node.Int(name, 0) != 0 || w.node.Float(name, 0) != 0 {
			w.Fail("node %s: %s with %s is not supported", w.node.Name, key(w.node.Domain, w.node.Op), name)
		}
	}
}

func init() {
	register(onnx.Microsoft+":FastGelu", 1, func(w *writer, n *onnx.Node) []*onnx.Value {
		return []*onnx.Value{w.gelu(w.plus(n.Inputs[0], n.Input(1)), "tanh")}
	})
	register(onnx.Microsoft+":BiasGelu", 1, func(w *writer, n *onnx.Node) []*onnx.Value {
		return []*onnx.Value{w.gelu(w.plus(n.Inputs[0], n.Input(1)), "none")}
	})
	register("Swish", 1, func(w *writer, n *onnx.Node) []*onnx.Value { // x·σ(αx)
		x := n.Inputs[0]
		return []*onnx.Value{w.mul(x, w.op("Sigmoid", w.times(x, float64(n.Float("alpha", 1)))))}
	})
	register(onnx.Microsoft+":SkipLayerNormalization", 3, func(w *writer, n *onnx.Node) []*onnx.Value { // of x + skip + bias
		sum := w.plus(w.add(n.Inputs[0], n.Inputs[1]), n.Input(4))
		return []*onnx.Value{w.layerNorm(sum, n.Inputs[2], n.Input(3), 1e-12), nil, nil, sum}
	})
	register(onnx.Microsoft+":SkipSimplifiedLayerNormalization", 3, func(w *writer, n *onnx.Node) []*onnx.Value {
		sum := w.plus(w.add(n.Inputs[0], n.Inputs[1]), n.Input(3))
		return []*onnx.Value{w.rmsNorm(sum, n.Inputs[2], 1e-12), nil, nil, sum}
	})
	register("RMSNormalization", 2, func(w *writer, n *onnx.Node) []*onnx.Value {
		return []*onnx.Value{w.rmsNorm(n.Inputs[0], n.Inputs[1], 1e-5)}
	})
	register(onnx.Microsoft+":EmbedLayerNormalization", 1, embedLayerNorm)
}

func (w *writer) gelu(x *onnx.Value, approximate string) *onnx.Value {
	return w.Op("Gelu", []*onnx.Value{x}, onnx.Attrs{"approximate": approximate})
}

// layerNorm takes epsilon from the node.
func (w *writer) layerNorm(x, scale, bias *onnx.Value, epsilon float32) *onnx.Value {
	inputs := []*onnx.Value{x, scale}
	if bias != nil {
		inputs = append(inputs, bias)
	}
	return w.Op("LayerNormalization", inputs, onnx.Attrs{"axis": -1, "epsilon": w.node.Float("epsilon", epsilon)})
}

func (w *writer) rmsNorm(x, scale *onnx.Value, epsilon float32) *onnx.Value {
	return w.Op("SimplifiedLayerNormalization", []*onnx.Value{x, scale}, onnx.Attrs{"axis": w.node.Int("axis", -1), "epsilon": w.node.Float("epsilon", epsilon)})
}

// embedLayerNorm is the sum of embeddings of words, positions and segments, and its norm. Its second output counts a mask's ones.
func embedLayerNorm(w *writer, n *onnx.Node) []*onnx.Value {
	ids, segments, words, positions := n.Inputs[0], n.Input(1), w.needs(2), w.needs(3)
	look := func(table, at *onnx.Value) *onnx.Value { return w.op("Gather", table, at) }
	sum := look(words, ids)
	at := n.Input(8)
	if at == nil {
		length := w.op("Squeeze", w.Op("Shape", []*onnx.Value{ids}, onnx.Attrs{"start": 1, "end": 2}), w.Ints(0))
		zero, one := w.op("Squeeze", w.Ints(0), w.Ints(0)), w.op("Squeeze", w.Ints(1), w.Ints(0))
		at = w.op("Unsqueeze", w.op("Range", zero, length, one), w.Ints(0))
	}
	sum = w.add(sum, look(positions, at))
	if segments != nil {
		sum = w.add(sum, look(w.needs(4), segments))
	}
	return []*onnx.Value{w.layerNorm(sum, w.needs(5), n.Input(6), 1e-12), nil, sum}
}

// hidden is what is added to a score that must not count.
const hidden = -1e9

// scaleOf is the factor of scores: the attribute, or 1/√d.
func (w *writer) scaleOf(d int64) float64 {
	if s := w.node.Float("scale", 0); s != 0 {
		return float64(s)
	}
	return 1 / math.Sqrt(float64(d))
}
