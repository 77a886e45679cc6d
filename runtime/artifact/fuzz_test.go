package artifact_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// FuzzManifest checks that a manifest is read, and its graphs verified, or refused by name.
func FuzzManifest(f *testing.F) {
	g, err := onnx.Build("add", func(b *onnx.Builder) {
		x, y := b.Input("x", onnx.Float32, onnx.Const(4)), b.Input("y", onnx.Float32, onnx.Const(4))
		b.Output("z", b.Op("Add", []*onnx.Value{x, y}, nil))
	})
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	a := &artifact.Artifact{Graphs: map[string]*onnx.Graph{"add": g}}
	a.Stages = []artifact.Stage{{Name: "s", Graph: "add", Params: map[string]artifact.Param{"y": {Tensor: "w"}}, Inputs: []string{"x"}}}
	a.Aliases = map[string]map[string]string{"add": {"z": "x"}}
	a.Dims = map[string]int64{"hidden": 4}
	if err := a.Write(dir); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, "manifest.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if read, err := artifact.Load(dir); err == nil {
			if err := read.Verify(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
