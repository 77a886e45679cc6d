package autodiff_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/autodiff"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// The gradient of Gather at the size of an embedding, where frequent tokens repeat hundreds of times: right against
// float64 sums, and the same bits in 20 runs on 4 threads. Small sizes hide a race that large ones show.
func TestGatherLarge(t *testing.T) {
	const V, T, D, runs = 2000, 2048, 576, 20
	g, err := onnx.Build("gather", func(b *onnx.Builder) {
		x, ids := b.Input("x", onnx.Float32, onnx.Const(V), onnx.Const(D)), b.Input("ids", onnx.Int64, onnx.Const(T))
		seed := b.Input("dy", onnx.Float32, onnx.Const(T), onnx.Const(D))
		y := b.Op("Gather", []*onnx.Value{x, ids}, nil)
		grads, err := autodiff.Gradient(b, []*onnx.Value{y}, []*onnx.Value{seed}, []*onnx.Value{x})
		if err != nil {
			b.Fail("%w", err)
		}
		b.Output("dx", grads[0])
	})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.1, 1, V-1)
	ids, dy, want := make([]byte, 0, 8*T), make([]byte, 0, 4*T*D), make([]float64, V*D)
	for range T {
		id := zipf.Uint64()
		ids = binary.LittleEndian.AppendUint64(ids, id)
		for d := range D {
			v := float32(rng.NormFloat64())
			dy = binary.LittleEndian.AppendUint32(dy, math.Float32bits(v))
			want[int(id)*D+d] += float64(v)
		}
	}
	model, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	session, err := ort.NewSession(model, ort.Options{Name: "gather", Threads: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	given := map[string][]byte{"x": make([]byte, 4*V*D), "ids": ids, "dy": dy}
	inputs := map[string]*ort.Tensor{}
	for _, in := range g.Inputs {
		shape, _ := in.Shape.Eval(nil)
		if inputs[in.Name], err = ort.HostTensor(given[in.Name], ort.DType(in.Type), shape...); err != nil {
			t.Fatal(err)
		}
	}
	var first []byte
	for run := range runs {
		out := make([]byte, 4*V*D)
		y, err := ort.HostTensor(out, ort.Float32, V, D)
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Run(inputs, map[string]*ort.Tensor{"dx": y}); err != nil {
			t.Fatal(err)
		}
		if run == 0 {
			first = out
			for i, w := range want {
				got := float64(math.Float32frombits(binary.LittleEndian.Uint32(out[4*i:])))
				if math.Abs(got-w) > 1e-3*(1+math.Abs(w)) {
					t.Fatalf("element %d is %v, its sum in float64 %v", i, got, w)
				}
			}
		} else if string(out) != string(first) {
			t.Fatalf("run %d gives other bits than the first", run)
		}
	}
}

// An error names every operator without a rule, and leaves the graph as it was.
func TestMissingRulesAreListedAtOnce(t *testing.T) {
	g, err := onnx.Build("missing", func(b *onnx.Builder) {
		x := b.Input("x", onnx.Float32, onnx.Const(3))
		y := b.Op("Asinh", []*onnx.Value{b.Op("Mish", []*onnx.Value{x}, nil)}, nil)
		before := len(b.Graph().Nodes)
		_, err := autodiff.Gradient(b, []*onnx.Value{y}, []*onnx.Value{y}, []*onnx.Value{x})
		if err == nil || !strings.Contains(err.Error(), "Asinh") || !strings.Contains(err.Error(), "Mish") {
			t.Errorf("error %v, want both operators", err)
		}
		if len(b.Graph().Nodes) != before {
			t.Error("nodes were added before the error")
		}
		b.Output("y", y)
	})
	if err != nil || g == nil {
		t.Fatal(err)
	}
}

// What does not depend on an input, or does so through integers only, has no gradient.
func TestNoDependenceGivesNil(t *testing.T) {
	_, err := onnx.Build("none", func(b *onnx.Builder) {
		x, z := b.Input("x", onnx.Float32, onnx.Const(3)), b.Input("z", onnx.Float32, onnx.Const(3))
		y := b.Op("Mul", []*onnx.Value{x, b.Op("Floor", []*onnx.Value{z}, nil)}, nil)
		grads, err := autodiff.Gradient(b, []*onnx.Value{y}, []*onnx.Value{x}, []*onnx.Value{x, z})
		if err != nil {
			b.Fail("%w", err)
		}
		if grads[0] == nil || grads[1] != nil {
			t.Errorf("gradients %v", grads)
		}
		b.Output("y", y)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What a node's metadata calls a constant has no gradient, and a gradient that was only repeated is multiplied as it is.
func TestHints(t *testing.T) {
	g, err := onnx.Build("hints", func(b *onnx.Builder) {
		x := b.Input("x", onnx.Float32, onnx.Sym("R"), onnx.Sym("B"))
		shift := b.Node(&onnx.Node{Op: "ReduceMax", Inputs: []*onnx.Value{x, b.Ints(-1)}, Attrs: onnx.Attrs{"keepdims": 1},
			Meta: map[string]string{"gradient": "none"}}, 1)[0]
		e := b.Op("Exp", []*onnx.Value{b.Op("Sub", []*onnx.Value{x, shift}, nil)}, nil)
		y := b.Op("ReduceSum", []*onnx.Value{e, b.Ints(-1)}, onnx.Attrs{"keepdims": 1})
		seed := b.Input("dy", onnx.Float32, onnx.Sym("R"), onnx.Const(1))
		grads, err := autodiff.Gradient(b, []*onnx.Value{y}, []*onnx.Value{seed}, []*onnx.Value{x})
		if err != nil {
			b.Fail("%w", err)
		}
		if n := grads[0].Node; n.Op != "Mul" || n.Inputs[0] != seed || n.Inputs[1] != e {
			t.Errorf("the gradient is %s of %v, not the product of the seed and the exponentials", n.Op, n.Inputs)
		}
		b.Output("dx", grads[0])
	})
	if err != nil || g == nil {
		t.Fatal(err)
	}
}
