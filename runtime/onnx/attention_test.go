package onnx_test

import (
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/graphtest"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// grouped is attention without a cache, of four heads of 8 entries over keys of so many.
func grouped(keyHeads int64) (*onnx.Graph, error) {
	return onnx.Build("grouped", func(b *onnx.Builder) {
		N, S := onnx.Sym("N"), onnx.Sym("S")
		q := b.Input("q", onnx.Float32, N, S, onnx.Const(32))
		k, v := b.Input("k", onnx.Float32, N, S, onnx.Const(16)), b.Input("v", onnx.Float32, N, S, onnx.Const(16))
		last, total := b.Input("last", onnx.Int32, N), b.Input("total", onnx.Int32, onnx.Const(1))
		out := b.Node(&onnx.Node{Op: "GroupQueryAttention", Domain: onnx.Microsoft, Inputs: []*onnx.Value{q, k, v, nil, nil, last, total},
			Attrs: onnx.Attrs{"num_heads": 4, "kv_num_heads": keyHeads}}, 3)
		for i, name := range []string{"y", "keys", "values"} {
			b.Output(name, out[i])
		}
	})
}

// Attention without a cache gives its own keys and values by head. ONNX Runtime runs with outputs of these shapes.
func TestShapesOfAttentionWithoutACache(t *testing.T) {
	g, err := grouped(2)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"y": "[N,S,32]", "keys": "[N,2,S,8]", "values": "[N,2,S,8]"} {
		if v := g.Output(name); v.Type != onnx.Float32 || v.Shape.String() != want {
			t.Errorf("%s is %s%s, want float32%s", name, v.Type, v.Shape, want)
		}
	}
	floats := func(dims ...int64) *onnx.Tensor {
		x := &onnx.Tensor{Type: onnx.Float32, Dims: dims}
		x.Data = make([]byte, 4*x.Count())
		return x
	}
	ints := func(n int64, values ...byte) *onnx.Tensor {
		x := &onnx.Tensor{Type: onnx.Int32, Dims: []int64{n}, Data: make([]byte, 4*n)}
		for i, v := range values {
			x.Data[4*i] = v
		}
		return x
	}
	graphtest.Run(t, g, map[string]int64{"N": 2, "S": 3}, map[string]*onnx.Tensor{
		"q": floats(2, 3, 32), "k": floats(2, 3, 16), "v": floats(2, 3, 16), "last": ints(2, 2, 2), "total": ints(1, 3)})
	if _, err := grouped(3); err == nil || !strings.Contains(err.Error(), "keys of 16 entries for 3 heads") {
		t.Errorf("error %v", err)
	}
}
