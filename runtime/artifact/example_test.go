package artifact_test

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// An output may take its input's memory only where nothing reads the input after it is overwritten.
func ExampleVerifyAliases() {
	g, err := onnx.Build("accumulate", func(b *onnx.Builder) {
		acc, d := b.Input("acc", onnx.Float32, onnx.Sym("n")), b.Input("d", onnx.Float32, onnx.Sym("n"))
		b.Output("sum", b.Op("Add", []*onnx.Value{acc, d}, nil))
		b.Output("late", b.Op("Neg", []*onnx.Value{acc}, nil))
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(artifact.VerifyAliases(g, map[string]string{"sum": "acc"}))
	// Output: unsafe alias: node add_1 overwrites input acc by output sum, and may run before node neg_1 has read it
}
