package engine_test

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// A graph of an artifact over arrays in host memory.
func ExampleEngine_Call() {
	double, err := onnx.Build("double", func(b *onnx.Builder) {
		x := b.Input("x", onnx.Float32, onnx.Sym("n"))
		b.Output("y", b.Op("Add", []*onnx.Value{x, x}, nil))
	})
	if err != nil {
		panic(err)
	}
	e, err := engine.New(&artifact.Artifact{Graphs: map[string]*onnx.Graph{"double": double}}, engine.Options{})
	if err != nil {
		panic(err)
	}
	defer e.Close()
	out, err := e.Call("double", map[string]int64{"n": 3}, map[string]engine.Array{"x": engine.Floats(onnx.Float32, []float64{1, 2, 3}, 3)})
	if err != nil {
		panic(err)
	}
	fmt.Println(out["y"])
	// Output: [2 4 6]
}
