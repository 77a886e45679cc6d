package exported

import (
	"os"
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// FuzzOpen makes sure that no file panics, and that a body that is made of one has the inputs and outputs that it must.
func FuzzOpen(f *testing.F) {
	for _, seed := range []func(p *parts) *onnx.Value{
		nil,
		func(p *parts) *onnx.Value { // of layers, fused and plain
			x := p.Op("LayerNormalization", []*onnx.Value{p.hidden, p.weight("norm.weight", 4)}, nil)
			fused := p.unknown("Attention", onnx.Microsoft, "attention", x)
			fused.Node.Attrs = onnx.Attrs{"num_heads": int64(2), "unidirectional": int64(1)}
			fused.Node.Inputs = append(fused.Node.Inputs, p.weight("qkv.weight", 4, 12), p.weight("qkv.bias", 12))
			return p.Op("Reshape", []*onnx.Value{p.Op("Add", []*onnx.Value{fused, p.hidden}, nil), p.Op("Shape", []*onnx.Value{p.hidden}, nil)}, nil)
		},
	} {
		data, err := os.ReadFile(lm(f, seed, nil))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := onnx.Unmarshal(data)
		if err != nil {
			return
		}
		m, err := fromGraph(g)
		if err != nil {
			return
		}
		if m.Body.Output("y") == nil || m.Body.Input(Rows) == nil || m.Weights[m.Head.Unembed].Shape == nil {
			t.Errorf("a body without its parts:\n%s", m.Body)
		}
	})
}
