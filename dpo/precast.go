package dpo

import (
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// precast lets weights come in the type that a model computes in where all graphs cast them to it: they are then rounded once an
// update, by the optimizer's graph, and not each time they are used, to the same numbers. It reports whether that is so of any that is trained.
func precast(a *artifact.Artifact, compute onnx.DType) (trained bool) {
	wide := map[string]bool{} // tensors that some graph takes as they are
	each := func(do func(p artifact.Param, g *onnx.Graph, input *onnx.Value)) {
		for _, s := range a.Stages {
			for input, p := range s.Params {
				for _, g := range a.Graphs {
					if v := g.Input(input); v != nil {
						do(p, g, v)
					}
				}
			}
		}
	}
	each(func(p artifact.Param, g *onnx.Graph, input *onnx.Value) {
		wide[p.Tensor] = wide[p.Tensor] || !g.OnlyCast(input, compute)
	})
	each(func(p artifact.Param, g *onnx.Graph, input *onnx.Value) {
		if !wide[p.Tensor] && input.Type != compute {
			g.Precast(input, compute)
			trained = trained || !p.Frozen
		}
	})
	return trained
}
