package artifact_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

func build(t *testing.T, f func(b *onnx.Builder)) *onnx.Graph {
	t.Helper()
	g, err := onnx.Build("test", f)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func of(values ...*onnx.Value) []*onnx.Value { return values }

func TestVerifyAliases(t *testing.T) {
	n := onnx.Sym("N")
	for name, c := range map[string]struct {
		graph   func(b *onnx.Builder)
		aliases map[string]string
		want    string // in the error; "" for none
	}{
		"sum into its first term": {func(b *onnx.Builder) {
			b.Output("sum", b.Op("Add", of(b.Input("acc", onnx.Float32, n), b.Input("x", onnx.Float32, n)), nil))
		}, map[string]string{"sum": "acc"}, ""},
		"a reader before the writer": {func(b *onnx.Builder) {
			p, g := b.Input("p", onnx.Float32, n), b.Input("g", onnx.Float32, n)
			decay := b.Op("Mul", of(p, b.Scalar(onnx.Float32, 0.9)), nil)
			b.Output("p.new", b.Op("Sub", of(decay, g), nil))
		}, map[string]string{"p.new": "p"}, ""},
		"a reader after the writer": {func(b *onnx.Builder) {
			p, g := b.Input("p", onnx.Float32, n), b.Input("g", onnx.Float32, n)
			b.Output("p.new", b.Op("Sub", of(p, g), nil))
			b.Output("old", b.Op("Neg", of(p), nil))
		}, map[string]string{"p.new": "p"}, "before node neg"},
		"a reader through a view": {func(b *onnx.Builder) {
			p, g := b.Input("p", onnx.Float32, n), b.Input("g", onnx.Float32, n)
			view := b.Op("Identity", of(p), nil)
			b.Output("p.new", b.Op("Sub", of(p, g), nil))
			b.Output("old", b.Op("Neg", of(view), nil))
		}, map[string]string{"p.new": "p"}, "before node identity_1, neg_1"},
		"a writer that reads more than it has written": {func(b *onnx.Builder) {
			b.Output("y", b.Op("Softmax", of(b.Input("x", onnx.Float32, n)), nil))
		}, map[string]string{"y": "x"}, "(Softmax) reads input x"},
		"two outputs over one input": {func(b *onnx.Builder) {
			x := b.Input("x", onnx.Float32, n)
			b.Output("a", b.Op("Add", of(x, x), nil))
			b.Output("b", b.Op("Mul", of(x, x), nil))
		}, map[string]string{"a": "x", "b": "x"}, "before node mul_1"},
		"another shape": {func(b *onnx.Builder) {
			x, y := b.Input("x", onnx.Float32, onnx.Const(1)), b.Input("y", onnx.Float32, n)
			b.Output("sum", b.Op("Add", of(x, y), nil))
		}, map[string]string{"sum": "x"}, "differ"},
		"no such output": {func(b *onnx.Builder) {
			x := b.Input("x", onnx.Float32, n)
			b.Output("y", b.Op("Add", of(x, x), nil))
		}, map[string]string{"z": "x"}, "not both in the graph"},
	} {
		t.Run(name, func(t *testing.T) {
			err := artifact.VerifyAliases(build(t, c.graph), c.aliases)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, artifact.ErrAlias) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// example is an artifact of one stage.
func example(t *testing.T) *artifact.Artifact {
	g := build(t, func(b *onnx.Builder) {
		T := onnx.Sym("T")
		b.Output("y", b.Op("Mul", of(b.Input("x", onnx.Float32, T), b.Input("w", onnx.Float32, onnx.Const(1))), nil))
	})
	return &artifact.Artifact{
		Graphs: map[string]*onnx.Graph{"scale": g},
		Manifest: artifact.Manifest{Architecture: "Test", Compute: "float32", Weights: "float32",
			Stages: []artifact.Stage{{Name: "s", Graph: "scale", Params: map[string]artifact.Param{"w": {Tensor: "scale.weight"}}, Inputs: []string{"x"}}}},
	}
}

func TestVerifyNamesWhatIsMissing(t *testing.T) {
	for want, change := range map[string]func(*artifact.Artifact){
		"stage s: graph scale is missing":       func(a *artifact.Artifact) { delete(a.Graphs, "scale") },
		"stage s: graph scale has no input b":   func(a *artifact.Artifact) { a.Stages[0].Params["b"] = artifact.Param{Tensor: "bias"} },
		"aliases of graph loss: the graph is m": func(a *artifact.Artifact) { a.Aliases = map[string]map[string]string{"loss": {}} },
	} {
		a := example(t)
		change(a)
		if err := a.Verify(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
