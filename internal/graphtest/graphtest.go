// Package graphtest runs graphs on ONNX Runtime, for tests.
package graphtest

import (
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// Run runs a graph on one thread of the CPU. given has its inputs by name, and more if one likes; sizes are those of the symbols in its
// outputs' shapes. It gives the outputs by name.
func Run(t testing.TB, g *onnx.Graph, sizes map[string]int64, given map[string]*onnx.Tensor) map[string]*onnx.Tensor {
	t.Helper()
	model, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return RunModel(t, model, g, sizes, given)
}

// RunModel is Run of a model's own bytes, of which g says the inputs and outputs.
func RunModel(t testing.TB, model []byte, g *onnx.Graph, sizes map[string]int64, given map[string]*onnx.Tensor) map[string]*onnx.Tensor {
	t.Helper()
	s, err := ort.NewSession(model, ort.Options{Name: g.Name, Threads: 1})
	if err != nil {
		t.Fatalf("%v\n%s", err, g)
	}
	defer s.Close()
	bound := func(name string, x *onnx.Tensor) *ort.Tensor {
		if x == nil {
			t.Fatalf("input %s of graph %s is not given", name, g.Name)
		}
		out, err := ort.HostTensor(x.Data, ort.DType(x.Type), x.Dims...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	inputs, outputs, results := map[string]*ort.Tensor{}, map[string]*ort.Tensor{}, map[string]*onnx.Tensor{}
	for _, in := range g.Inputs {
		inputs[in.Name] = bound(in.Name, given[in.Name])
	}
	for _, out := range g.Outputs {
		shape, err := out.Shape.Eval(sizes)
		if err != nil {
			t.Fatal(err)
		}
		x := &onnx.Tensor{Type: out.Type, Dims: shape}
		x.Data = make([]byte, x.Count()*int64(out.Type.Size()))
		results[out.Name], outputs[out.Name] = x, bound(out.Name, x)
	}
	if err := s.Run(inputs, outputs); err != nil {
		t.Fatalf("%v\n%s", err, g)
	}
	return results
}

// Floats are the elements of a tensor.
func Floats(t testing.TB, x *onnx.Tensor) []float64 {
	t.Helper()
	values, err := x.Floats()
	if err != nil {
		t.Fatal(err)
	}
	return values
}
