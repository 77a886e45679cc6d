package dpo

import (
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// precast lets weights come in the narrower type that a model computes in where all graphs cast them to it: they are then rounded once an
// update, by the optimizer's graph, and not each time they are used, to the same numbers. It reports whether that is so of any that is trained.
func precast(a *artifact.Artifact, compute onnx.DType) (trained bool) {
	wide := map[string]bool{} // graph inputs, and tensors, that some graph takes as they are
	input := func(name string) string { return "input " + name }
	for _, s := range a.Stages {
		for name := range s.Params {
			if _, known := wide[input(name)]; !known {
				wide[input(name)] = takenAsIs(a, name, compute)
			}
		}
	}
	for spread := true; spread; { // a tensor that is bound to two inputs comes in one type, and so do all tensors of an input
		spread = false
		for _, s := range a.Stages {
			for name, p := range s.Params {
				if wide[input(name)] != wide[p.Tensor] {
					wide[input(name)], wide[p.Tensor], spread = true, true, true
				}
			}
		}
	}
	for _, s := range a.Stages {
		for name, p := range s.Params {
			if wide[p.Tensor] {
				continue
			}
			for _, g := range a.Graphs {
				if v := g.Input(name); v != nil && v.Type != compute {
					g.Precast(v, compute)
				}
			}
			trained = trained || !p.Frozen
		}
	}
	return trained
}

// takenAsIs reports whether a graph has an input of this name that it does not only cast, or that is no wider than compute.
func takenAsIs(a *artifact.Artifact, name string, compute onnx.DType) bool {
	for _, g := range a.Graphs {
		if v := g.Input(name); v != nil && (v.Type.Size() <= compute.Size() || !g.OnlyCast(v, compute)) {
			return true
		}
	}
	return false
}
