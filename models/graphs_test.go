package models

import (
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Every value of a decoder's graphs has a known type and rank, and sizes that the batch determines.
func TestGraphsHaveKnownShapes(t *testing.T) {
	sizes := map[string]int64{"T": 11, "G": 2, "K": 2, "P": 16, "C": 32, "R": 7, "B": 64}
	for _, compute := range []onnx.DType{onnx.Float32, onnx.Float64} {
		d, err := describe(t, map[string]any{"attention_bias": true, "mlp_bias": true})
		if err != nil {
			t.Fatal(err)
		}
		graphs, err := d.Graphs(Types{Compute: compute, Weights: compute})
		if err != nil {
			t.Fatal(err)
		}
		for name, g := range graphs {
			for _, n := range g.Nodes {
				for _, v := range n.Outputs {
					if shape, err := v.Shape.Eval(sizes); err != nil || v.Shape == nil || v.Type == onnx.Undefined {
						t.Errorf("graph %s: %s of node %s has type %s and shape %s = %v (%v)", name, v.Name, n.Name, v.Type, v.Shape, shape, err)
					}
				}
			}
		}
		if y := graphs[BlockGraph].Output("y"); y.Shape.String() != "[T,32]" || y.Type != compute {
			t.Errorf("a block gives %s%s", y.Type, y.Shape)
		}
	}
}
