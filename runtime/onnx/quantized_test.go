package onnx_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// bits adds a product with a matrix [6,40] of so many bits and a look-up of its rows, or what change makes of their nodes.
func bits(t *testing.T, n int64, change func(product, rows *onnx.Node)) (*onnx.Graph, error) {
	t.Helper()
	return onnx.Build("few bits", func(b *onnx.Builder) {
		T, blocks := onnx.Sym("T"), int64(2)
		bytes := onnx.Const(32 * n / 8)
		x, ids := b.Input("x", onnx.Float32, T, onnx.Const(40)), b.Input("ids", onnx.Int64, T)
		weight := b.Input("weight", onnx.Uint8, onnx.Const(6), onnx.Const(blocks), bytes)
		table := b.Input("table", onnx.Uint8, onnx.Const(6), bytes.Mul(onnx.Const(blocks)))
		scales := b.Input("scales", onnx.Float32, onnx.Const(6), onnx.Const(blocks))
		product := &onnx.Node{Op: "MatMulNBits", Domain: onnx.Microsoft, Inputs: []*onnx.Value{x, weight, scales},
			Attrs: onnx.Attrs{"K": 40, "N": 6, "bits": n, "block_size": 32}}
		rows := &onnx.Node{Op: "GatherBlockQuantized", Domain: onnx.Microsoft, Inputs: []*onnx.Value{table, ids, scales},
			Attrs: onnx.Attrs{"gather_axis": 0, "quantize_axis": 1, "bits": n, "block_size": 32}}
		if change != nil {
			change(product, rows)
		}
		b.Output("y", b.Node(product, 1)[0])
		b.Output("looked", b.Node(rows, 1)[0])
	})
}

// A product with few bits gives N columns; of a table, whose columns come in whole blocks, 8/bits lie in a byte.
func TestShapesOfFewBits(t *testing.T) {
	for _, n := range []int64{4, 8} {
		g, err := bits(t, n, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"y": "[T,6]", "looked": "[T,64]"} {
			if v := g.Output(name); v.Type != onnx.Float32 || v.Shape.String() != want {
				t.Errorf("%d bits: %s is %s%s, want float32%s", n, name, v.Type, v.Shape, want)
			}
		}
	}
	for wrong, change := range map[string]func(product, rows *onnx.Node){
		"40 columns times 41":            func(p, _ *onnx.Node) { p.Attrs["K"] = 41 },
		"K is 40 and N is 0":             func(p, _ *onnx.Node) { p.Attrs["N"] = 0 },
		"rows of bytes are supported":    func(_, r *onnx.Node) { r.Attrs["gather_axis"] = 1 },
		"bits is 2: 4 and 8 are":         func(_, r *onnx.Node) { r.Attrs["bits"] = 2 },
		"input 2 is missing":             func(_, r *onnx.Node) { r.Inputs = r.Inputs[:2] },
		"a scalar has no columns":        func(p, _ *onnx.Node) { p.Inputs[0].Shape = onnx.Shape{} },
		"MatMulNBits(x float32[T,40], -": func(p, _ *onnx.Node) { p.Inputs[1] = nil },
	} {
		if _, err := bits(t, 4, change); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%v, want %q", err, wrong)
		}
	}
}

// A tensor that lies in another file is written as a reference to its part of it, and read from there.
func TestExternalTensors(t *testing.T) {
	g, err := onnx.Build("external", func(b *onnx.Builder) {
		x := b.Input("x", onnx.Uint8, onnx.Const(3))
		w := b.Initializer("layer.weight", &onnx.Tensor{Type: onnx.Uint8, Dims: []int64{3}, External: &onnx.External{Location: "weights", Offset: 2, Length: 3}})
		b.Output("y", b.Op("Add", []*onnx.Value{x, w}, nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string]string{"model.onnx": string(text), "weights": "--abc--"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read, err := onnx.Load(filepath.Join(dir, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if c := read.Constants(); len(c) != 1 || c[0].Name != "layer.weight" || string(c[0].Const.Data) != "abc" {
		t.Errorf("constants %v", c)
	}
	if _, err := onnx.Extend(g, func(b *onnx.Builder) { b.Initializer("x", onnx.IntTensor(nil)) }); err == nil {
		t.Error("an initializer took an input's name")
	}
}
