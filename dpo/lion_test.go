package dpo

import (
	"slices"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Lion moves every parameter by the rate, towards less loss, however small its gradient is, and none whose gradient is 0.
func TestLionMovesBySigns(t *testing.T) {
	o, err := optim.New("lion", nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := o.Rules[0].Build(onnx.Float64, onnx.Float64)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float64{"p": {1, 1, 1, 1}, "g": {1e4, -1e-30, 0, -1}, "m": {0, 0, 0, 0}}
	for name, x := range o.Scalars(optim.Step{Rate: 0.25, Scale: 0.5}) {
		values[name] = []float64{x}
	}
	if got, want := run(t, g, map[string]int64{"n": 4}, values)["next.p"], []float64{0.75, 1.25, 1, 1.25}; !slices.Equal(got, want) {
		t.Errorf("parameters of 1 became %v, want %v", got, want)
	}
}
