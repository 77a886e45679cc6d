package dpo

import (
	"fmt"
	"slices"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// sizes are operators whose results, where they are whole numbers, ONNX Runtime keeps in the host's memory if what they are made of is a shape.
var sizes = map[string]bool{"Shape": true, "Concat": true, "Gather": true, "Cast": true}

// hiddenCopies lists what a GPU's Run would copy between host and device within a graph, and wait for: what a kernel computes there and another reads
// in the host's memory, or the other way round, and inputs that are read in both.
func hiddenCopies(g *onnx.Graph) (found []string) {
	host := map[*onnx.Value]bool{} // made of shapes
	reads := map[*onnx.Value][2]bool{}
	for _, n := range g.Nodes {
		made := sizes[n.Op] && !n.Outputs[0].Type.IsFloat()
		for i, v := range n.Inputs {
			if v == nil || v.Const != nil {
				continue
			}
			there := slices.Contains(engine.HostReads[n.Op], i)
			made = made && (n.Op == "Shape" || host[v])
			switch {
			case n.Op == "Shape" || made:
			case v.Node == nil:
				r := reads[v]
				r[0], r[1] = r[0] || there, r[1] || !there
				if reads[v] = r; r[0] && r[1] {
					found = append(found, fmt.Sprintf("%s of input %s, which the device reads too", n.Op, v.Name))
				}
			case there != host[v]:
				found = append(found, fmt.Sprintf("%s of %s", n.Op, v.Node.Op))
			}
		}
		for _, v := range n.Outputs {
			host[v] = made
		}
	}
	return found
}

// No graph copies between host and device within a Run, but for the size of a matrix, one number, by optimizers of matrices.
func TestGraphsHaveNoHiddenCopies(t *testing.T) {
	for _, dir := range folders(t) {
		_, d, err := models.Describe(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i, optimizer := range optim.Names() {
			compute := []onnx.DType{onnx.Float32, onnx.BFloat16}[i%2]
			a, err := NewArtifact("", d, Export{Types: models.Types{Compute: compute, Weights: onnx.Float32, Fused: compute != onnx.Float32}, Loss: named(t, "sigmoid"), Optimizer: optimizer,
				Rungs: artifact.Rungs, Decode: compute == onnx.Float32 && d.Adapter == nil})
			if err != nil {
				t.Fatal(err)
			}
			for name, g := range a.Graphs {
				for _, what := range hiddenCopies(g) {
					if what != "Cast of Shape" || !slices.Contains([]string{"adafactor", "muon"}, optimizer) {
						t.Errorf("graph %s copies between host and device: %s", name, what)
					}
				}
			}
		}
	}
}

// A graph that takes a computed length as a shape, or a shape as a number, is told.
func TestHiddenCopiesAreFound(t *testing.T) {
	g, err := onnx.Build("copies", func(b *onnx.Builder) {
		x := b.Input("x", onnx.Float32, onnx.Sym("n"))
		n := b.Input("n", onnx.Int64, onnx.Const(1))
		size := b.Op("Shape", []*onnx.Value{x}, nil)
		b.Output("y", b.Op("Add", []*onnx.Value{size, n}, nil))
		b.Output("z", b.Op("ConstantOfShape", []*onnx.Value{b.Op("Mul", []*onnx.Value{n, n}, nil)}, nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	if found := hiddenCopies(g); !slices.Equal(found, []string{"Add of Shape", "ConstantOfShape of Mul"}) {
		t.Errorf("found %v", found)
	}
}
