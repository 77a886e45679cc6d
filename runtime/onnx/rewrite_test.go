package onnx_test

import (
	"math"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/graphtest"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// oldNode is a node of an older opset over x [2,3,4].
type oldNode struct {
	op      string
	opset   int64
	attrs   onnx.Attrs
	outputs [][]int64
}

var oldNodes = map[string]oldNode{
	"squeeze":           {"Squeeze", 11, onnx.Attrs{"axes": []int64{0}}, [][]int64{{3, 4}}}, // of [1,3,4]
	"unsqueeze":         {"Unsqueeze", 11, onnx.Attrs{"axes": []int64{1, 3}}, [][]int64{{2, 1, 3, 1, 4}}},
	"sum":               {"ReduceSum", 11, onnx.Attrs{"axes": []int64{1}, "keepdims": int64(0)}, [][]int64{{2, 4}}},
	"mean":              {"ReduceMean", 13, onnx.Attrs{"axes": []int64{-1}}, [][]int64{{2, 3, 1}}},
	"most":              {"ReduceMax", 13, onnx.Attrs{"axes": []int64{0, 2}}, [][]int64{{1, 3, 1}}},
	"split":             {"Split", 11, onnx.Attrs{"axis": int64(2), "split": []int64{1, 3}}, [][]int64{{2, 3, 1}, {2, 3, 3}}},
	"split, evenly":     {"Split", 13, onnx.Attrs{"axis": int64(2)}, [][]int64{{2, 3, 2}, {2, 3, 2}}},
	"slice":             {"Slice", 9, onnx.Attrs{"axes": []int64{1, 2}, "starts": []int64{1, 0}, "ends": []int64{3, -1}}, [][]int64{{2, 2, 3}}},
	"slice, from 0":     {"Slice", 9, onnx.Attrs{"axes": []int64{1}, "starts": []int64{0}, "ends": []int64{2}}, [][]int64{{2, 2, 4}}},
	"slice, whole":      {"Slice", 9, onnx.Attrs{"starts": []int64{0, 0}, "ends": []int64{math.MaxInt64, math.MaxInt64}}, [][]int64{{2, 3, 4}}},
	"pad":               {"Pad", 10, onnx.Attrs{"pads": []int64{0, 1, 0, 0, 0, 2}}, [][]int64{{2, 4, 6}}},
	"pad by a number":   {"Pad", 10, onnx.Attrs{"pads": []int64{0, 0, 1, 0, 0, 0}, "value": float32(2)}, [][]int64{{2, 3, 5}}},
	"clip":              {"Clip", 6, onnx.Attrs{"min": float32(-0.5), "max": float32(0.25)}, [][]int64{{2, 3, 4}}},
	"clip from above":   {"Clip", 6, onnx.Attrs{"max": float32(0.25)}, [][]int64{{2, 3, 4}}},
	"softmax":           {"Softmax", 11, onnx.Attrs{"axis": int64(2)}, [][]int64{{2, 3, 4}}},
	"log softmax":       {"LogSoftmax", 11, onnx.Attrs{"axis": int64(-1)}, [][]int64{{2, 3, 4}}},
	"softmax of today":  {"Softmax", 13, nil, [][]int64{{2, 3, 4}}},
	"dropout":           {"Dropout", 11, nil, [][]int64{{2, 3, 4}}},
	"identity":          {"Identity", 13, nil, [][]int64{{2, 3, 4}}},
	"cast to its own":   {"Cast", 13, onnx.Attrs{"to": int64(onnx.Float32)}, [][]int64{{2, 3, 4}}},
	"flatten":           {"Flatten", 11, onnx.Attrs{"axis": int64(2)}, [][]int64{{6, 4}}},
	"reduce everything": {"ReduceSum", 11, onnx.Attrs{"keepdims": int64(0)}, [][]int64{{}}},
}

// What is rewritten gives the numbers that the old graph gives, in today's opset.
func TestRewriteOldOpsets(t *testing.T) {
	for name, c := range oldNodes {
		t.Run(name, func(t *testing.T) {
			shape := []int64{2, 3, 4}
			if c.op == "Squeeze" {
				shape[0] = 1
			}
			x := &onnx.Value{Name: "x", Type: onnx.Float32, Shape: onnx.Dims(shape...)}
			n := &onnx.Node{Op: c.op, Name: "old", Inputs: []*onnx.Value{x}, Attrs: c.attrs}
			g := &onnx.Graph{Name: "old", Opsets: map[string]int64{"": c.opset}, Inputs: []*onnx.Value{x}, Nodes: []*onnx.Node{n}}
			var names []string
			for i, s := range c.outputs {
				out := &onnx.Value{Name: string(rune('a' + i)), Type: onnx.Float32, Shape: onnx.Dims(s...), Node: n}
				n.Outputs, g.Outputs, names = append(n.Outputs, out), append(g.Outputs, out), append(names, out.Name)
			}
			now, err := onnx.Rewrite(g, onnx.Rewriting{Outputs: names})
			if err != nil {
				t.Fatal(err)
			}
			if now.Opsets[""] != onnx.Opset {
				t.Errorf("it is of opset %d", now.Opsets[""])
			}
			for i, out := range now.Outputs {
				if !out.Shape.Equal(onnx.Dims(c.outputs[i]...)) {
					t.Errorf("output %d has the shape %s, want %v", i, out.Shape, c.outputs[i])
				}
			}
			want, got := outputsOf(t, g, shape), outputsOf(t, now, shape)
			for name, numbers := range want {
				for i, x := range numbers {
					if d := math.Abs(x - got[name][i]); !(d <= 1e-6*(1+math.Abs(x))) {
						t.Fatalf("output %s, element %d: %v, in the old opset %v", name, i, got[name][i], x)
					}
				}
			}
		})
	}
}

// A softmax over several axes, as old opsets had it, is refused and not taken for another.
func TestRewriteRefuses(t *testing.T) {
	x := &onnx.Value{Name: "x", Type: onnx.Float32, Shape: onnx.Dims(2, 3, 4)}
	n := &onnx.Node{Op: "Softmax", Name: "scores", Inputs: []*onnx.Value{x}}
	y := &onnx.Value{Name: "y", Type: onnx.Float32, Shape: x.Shape, Node: n}
	n.Outputs = []*onnx.Value{y}
	g := &onnx.Graph{Name: "old", Opsets: map[string]int64{"": 11}, Inputs: []*onnx.Value{x}, Nodes: []*onnx.Node{n}, Outputs: []*onnx.Value{y}}
	if _, err := onnx.Rewrite(g, onnx.Rewriting{Outputs: []string{"y"}}); err == nil || !strings.Contains(err.Error(), "node scores: a Softmax over the axes from 1 on, as opset 11 has it") {
		t.Errorf("%v", err)
	}
}

// Sizes that are known become constants, and what an empty past is joined to stays alone.
func TestRewriteKnowsSizes(t *testing.T) {
	g, err := onnx.Build("sizes", func(b *onnx.Builder) {
		past := b.Input("past", onnx.Float32, onnx.Sym("batch"), onnx.Const(2), onnx.Sym("past"), onnx.Const(4))
		x := b.Input("x", onnx.Float32, onnx.Sym("batch"), onnx.Const(2), onnx.Sym("tokens"), onnx.Const(4))
		joined := b.Op("Concat", []*onnx.Value{past, x}, onnx.Attrs{"axis": 2})
		shape := b.Op("Shape", []*onnx.Value{joined}, nil)
		pick := func(i int64) *onnx.Value { return b.Op("Gather", []*onnx.Value{shape, b.Ints(i)}, nil) }
		width := b.Op("Mul", []*onnx.Value{pick(1), pick(3)}, nil)
		target := b.Op("Concat", []*onnx.Value{pick(0), pick(2), width}, onnx.Attrs{"axis": 0})
		turned := b.Op("Transpose", []*onnx.Value{joined}, onnx.Attrs{"perm": []int64{0, 2, 1, 3}})
		b.Output("y", b.Op("Reshape", []*onnx.Value{turned, target}, nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	N, S := onnx.Sym("N"), onnx.Sym("S")
	now, err := onnx.Rewrite(g, onnx.Rewriting{Outputs: []string{"y"}, Inputs: map[string]onnx.Shape{
		"past": {N, onnx.Const(2), onnx.Const(0), onnx.Const(4)}, "x": {N, onnx.Const(2), S, onnx.Const(4)}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range now.Nodes {
		for _, in := range n.Inputs {
			if in.Name == "past" || n.Op == "Mul" {
				t.Errorf("node %s is left: %s(%s)", n.Name, n.Op, in.Name)
			}
		}
	}
	if got := now.Outputs[0].Shape; !got.Equal(onnx.Shape{N, S, onnx.Const(8)}) {
		t.Errorf("the output has the shape %s", got)
	}
}

// Names of nodes are no names of values: neither an output nor a constant loses its own to one.
func TestRewriteKeepsNames(t *testing.T) {
	g, err := onnx.Build("names", func(b *onnx.Builder) {
		c, err := onnx.FloatTensor(onnx.Float32, []float64{2, 3}, 2)
		if err != nil {
			t.Fatal(err)
		}
		x := b.Input("x", onnx.Float32, onnx.Const(2))
		for _, node := range []string{"y", "w"} {
			x = b.Node(&onnx.Node{Op: "Tanh", Name: node, Inputs: []*onnx.Value{x}}, 1)[0]
			x.Name = "of " + node
		}
		out := b.Op("Mul", []*onnx.Value{x, b.Constant(c)}, nil)
		out.Node.Inputs[1].Name, out.Name = "w", "y"
		b.Graph().Outputs = append(b.Graph().Outputs, out)
	})
	if err != nil {
		t.Fatal(err)
	}
	now, err := onnx.Rewrite(g, onnx.Rewriting{Outputs: []string{"y"}})
	if err != nil {
		t.Fatal(err)
	}
	if constants := now.Constants(); len(constants) != 1 || constants[0].Name != "w" || now.Output("y") == nil {
		t.Errorf("names are lost:\n%s", now)
	}
}

// What is joined of nothing is nothing.
func TestRewriteJoinsNothing(t *testing.T) {
	g, err := onnx.Build("nothing", func(b *onnx.Builder) {
		past := b.Input("past", onnx.Float32, onnx.Sym("past"), onnx.Const(4))
		b.Output("y", b.Op("Concat", []*onnx.Value{past, past}, onnx.Attrs{"axis": 0}))
	})
	if err != nil {
		t.Fatal(err)
	}
	now, err := onnx.Rewrite(g, onnx.Rewriting{Outputs: []string{"y"}, Inputs: map[string]onnx.Shape{"past": onnx.Dims(0, 4)}})
	if err != nil || !now.Outputs[0].Shape.Equal(onnx.Dims(0, 4)) {
		t.Errorf("%v\n%v", err, now)
	}
}

// An input of unknown rank stays one, and is no scalar.
func TestRewriteKeepsUnknownRanks(t *testing.T) {
	x := &onnx.Value{Name: "x", Type: onnx.Float32}
	n := &onnx.Node{Op: "Neg", Name: "neg", Inputs: []*onnx.Value{x}}
	y := &onnx.Value{Name: "y", Type: onnx.Float32, Node: n}
	n.Outputs = []*onnx.Value{y}
	g, err := onnx.Rewrite(&onnx.Graph{Name: "any", Opsets: map[string]int64{"": onnx.Opset}, Inputs: []*onnx.Value{x}, Nodes: []*onnx.Node{n}, Outputs: []*onnx.Value{y}},
		onnx.Rewriting{Outputs: []string{"y"}})
	if err != nil {
		t.Fatal(err)
	}
	if g.Inputs[0].Shape != nil || g.Outputs[0].Shape != nil {
		t.Errorf("shapes %s and %s", g.Inputs[0].Shape, g.Outputs[0].Shape)
	}
}

// The first of S tokens is one, whatever S is; the first two may be fewer.
func TestSliceOfTheFirst(t *testing.T) {
	_, err := onnx.Build("first", func(b *onnx.Builder) {
		x := b.Input("x", onnx.Float32, onnx.Const(3), onnx.Sym("tokens"))
		first := func(n int64) onnx.Dim {
			return b.Op("Slice", []*onnx.Value{x, b.Ints(0), b.Ints(n), b.Ints(1)}, nil).Shape[1]
		}
		if one, two := first(1), first(2); !one.Is(1) || !two.Unknown() {
			t.Errorf("slices of %s and %s tokens", one, two)
		}
		five, three := b.Ints(-5), b.Ints(3)
		if rest := b.Op("Mod", []*onnx.Value{five, three}, nil); len(rest.Elems) != 1 || !rest.Elems[0].Is(1) {
			t.Errorf("-5 mod 3 is %v", rest.Elems)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The last S of T tokens are S, whatever T is.
func TestSliceFromTheEnd(t *testing.T) {
	_, err := onnx.Build("last", func(b *onnx.Builder) {
		x := b.Input("x", onnx.Float32, onnx.Sym("batch"), onnx.Sym("past").Add(onnx.Sym("tokens")))
		ids := b.Input("ids", onnx.Int64, onnx.Sym("batch"), onnx.Sym("tokens"))
		from := b.Op("Neg", []*onnx.Value{b.Op("Shape", []*onnx.Value{ids}, onnx.Attrs{"start": 1, "end": 2})}, nil)
		last := b.Op("Slice", []*onnx.Value{x, from, b.Ints(math.MaxInt64), b.Ints(1)}, nil)
		if !last.Shape.Equal(onnx.Shape{onnx.Sym("batch"), onnx.Sym("tokens")}) {
			t.Errorf("the slice has the shape %s", last.Shape)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// outputsOf runs a graph over x of such a shape.
func outputsOf(t *testing.T, g *onnx.Graph, shape []int64) map[string][]float64 {
	t.Helper()
	size, _ := onnx.Dims(shape...).Size().Const()
	numbers := make([]float64, size)
	for i := range numbers {
		numbers[i] = math.Sin(float64(3*i + 1))
	}
	x, err := onnx.FloatTensor(onnx.Float32, numbers, shape...)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float64{}
	for name, out := range graphtest.Run(t, g, nil, map[string]*onnx.Tensor{"x": x}) {
		values[name] = graphtest.Floats(t, out)
	}
	return values
}
