package onnx_test

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

func ExampleBuild() {
	g, err := onnx.Build("linear", func(b *onnx.Builder) {
		x := b.Input("x", onnx.Float32, onnx.Sym("T"), onnx.Const(8))
		w := b.Input("w", onnx.Float32, onnx.Const(4), onnx.Const(8))
		b.Output("y", b.Op("Gemm", []*onnx.Value{x, w}, onnx.Attrs{"transB": 1}))
	})
	if err != nil {
		panic(err)
	}
	fmt.Print(g)
	// Output:
	// linear(x float32[T,8], w float32[4,8]) -> (y float32[T,4])
	//   y float32[T,4] = Gemm<transB=1>(x, w)
}
