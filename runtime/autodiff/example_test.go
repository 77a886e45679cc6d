package autodiff_test

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/runtime/autodiff"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// The gradient of y = x·σ(x), as nodes beside those of y itself.
func ExampleGradient() {
	g, err := onnx.Build("silu", func(b *onnx.Builder) {
		x, dy := b.Input("x", onnx.Float32, onnx.Sym("n")), b.Input("dy", onnx.Float32, onnx.Sym("n"))
		y := b.Op("Mul", []*onnx.Value{x, b.Op("Sigmoid", []*onnx.Value{x}, nil)}, nil)
		dx, err := autodiff.Gradient(b, []*onnx.Value{y}, []*onnx.Value{dy}, []*onnx.Value{x})
		if err != nil {
			b.Fail("%w", err)
		}
		b.Output("y", y)
		b.Output("dx", dx[0])
	})
	if err != nil {
		panic(err)
	}
	fmt.Print(g)
	// Output:
	// silu(x float32[n], dy float32[n]) -> (y float32[n], dx float32[n])
	//   sigmoid_1 float32[n] = Sigmoid(x)
	//   y float32[n] = Mul(x, sigmoid_1)
	//   mul_2 float32[n] = Mul(dy, sigmoid_1)
	//   mul_3 float32[n] = Mul(dy, x)
	//   mul_4 float32[n] = Mul(sigmoid_1, sigmoid_1)
	//   sub_1 float32[n] = Sub(sigmoid_1, mul_4)
	//   mul_5 float32[n] = Mul(mul_3, sub_1)
	//   dx float32[n] = Add(mul_2, mul_5)
}
