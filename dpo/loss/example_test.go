package loss_test

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

func ExampleGraph() {
	l, err := loss.Lookup("sigmoid")
	if err != nil {
		panic(err)
	}
	g, err := loss.Graph(l, onnx.Float64)
	if err != nil {
		panic(err)
	}
	for _, in := range g.Inputs {
		fmt.Print(in.Name, in.Shape, " ")
	}
	// Output: policy_logps[G,2] reference_logps[G,2] wins[G,2] weight[G] beta[] label_smoothing[]
}
