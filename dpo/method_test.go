package dpo

import (
	"fmt"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// run runs one graph over vectors given by name; scalars are vectors of one.
func run(t *testing.T, g *onnx.Graph, sizes map[string]int64, values map[string][]float64) map[string][]float64 {
	t.Helper()
	e := openGraph(t, g)
	defer e.Close()
	return call(t, e, sizes, values)
}

// openGraph makes an engine of one graph, which the caller closes.
func openGraph(t *testing.T, g *onnx.Graph) *engine.Engine {
	t.Helper()
	e, err := engine.New(&artifact.Artifact{Graphs: map[string]*onnx.Graph{"g": g}}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// call runs the one graph of an engine.
func call(t *testing.T, e *engine.Engine, sizes map[string]int64, values map[string][]float64) map[string][]float64 {
	t.Helper()
	inputs := map[string]engine.Array{}
	for _, in := range e.Artifact().Graphs["g"].Inputs {
		shape, err := in.Shape.Eval(sizes)
		if err != nil {
			t.Fatal(err)
		}
		inputs[in.Name] = engine.Floats(in.Type, values[in.Name], shape...)
	}
	out, err := e.Call("g", sizes, inputs)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// named is a loss by its name.
func named(t testing.TB, name string) *loss.Loss {
	t.Helper()
	l, err := loss.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// given are settings by their numbers.
func given(numbers map[string]float64) settings.Values {
	v := settings.Values{}
	for name, x := range numbers {
		v[name] = fmt.Sprint(x)
	}
	return v
}

func near(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if d := furthest(got, want); !(d <= 1e-12*(1+largest(want))) {
		t.Errorf("%s: %v, PyTorch has %v (%.1e apart)", what, got, want, d)
	}
}

// Each loss and its gradient, in float64, are PyTorch's: for rewards near each other and far apart, equal, at the kink of
// hinge, and for answers of unequal lengths.
func TestLossesEqualPyTorch(t *testing.T) {
	var cases []struct {
		lossInput
		Loss           string
		LabelSmoothing float64 `json:"label_smoothing"`
		Losses         []float64
		Dlogps         [][]float64
	}
	golden.JSON(t, golden.Testdata(t, "golden", "loss.json"), &cases)
	for _, c := range cases {
		g, err := lossWithGradient(named(t, c.Loss), onnx.Float64)
		if err != nil {
			t.Fatal(err)
		}
		values, sizes := c.values(t, map[string]float64{"label_smoothing": c.LabelSmoothing})
		out := run(t, g, sizes, values)
		near(t, c.Loss, out["losses"], c.Losses)
		near(t, "gradient of "+c.Loss, out["dlogps"], flat(c.Dlogps))
	}
}

func flat(rows [][]float64) (out []float64) {
	for _, r := range rows {
		out = append(out, r...)
	}
	return out
}
