package dpo

import (
	"math"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// run runs one graph over vectors given by name; scalars are vectors of one.
func run(t *testing.T, g *onnx.Graph, sizes map[string]int64, values map[string][]float64) map[string][]float64 {
	t.Helper()
	e := openGraph(t, g)
	defer e.Close()
	return call(t, e, g, sizes, values)
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
func call(t *testing.T, e *engine.Engine, g *onnx.Graph, sizes map[string]int64, values map[string][]float64) map[string][]float64 {
	t.Helper()
	inputs := map[string]engine.Array{}
	for _, in := range g.Inputs {
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

func near(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if d := furthest(got, want); !(d <= 1e-12*(1+largest(want))) {
		t.Errorf("%s: %v, PyTorch has %v (%.1e apart)", what, got, want, d)
	}
}

// Each optimizer's graph, in float64, takes the steps that PyTorch's class takes.
func TestOptimizersEqualPyTorch(t *testing.T) {
	var want struct {
		LR        float64
		Start     []float64
		Gradients [][]float64
		Cases     []struct {
			Optimizer   string
			WeightDecay float64 `json:"weight_decay"`
			Steps       [][]float64
		}
	}
	golden.JSON(t, golden.Testdata(t, "golden", "optim.json"), &want)
	seen := map[string]bool{}
	for _, c := range want.Cases {
		seen[c.Optimizer] = true
		o, err := optim.Lookup(c.Optimizer)
		if err != nil {
			t.Fatal(err)
		}
		g, err := o.Graph(onnx.Float64)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string][]float64{"p": want.Start}
		for _, s := range o.States {
			values[s] = make([]float64, len(want.Start))
		}
		for i, gradient := range want.Gradients {
			// The gradient comes in twice too large and is clipped to what it should be.
			values["g"] = make([]float64, len(gradient))
			for k, x := range gradient {
				values["g"][k] = 2 * x
			}
			for name, v := range o.Scalars(optim.Step{Index: i, Rate: want.LR, Scale: 0.5, WeightDecay: c.WeightDecay}) {
				values[name] = []float64{v}
			}
			out := run(t, g, map[string]int64{"n": int64(len(gradient))}, values)
			for next, in := range o.Aliases {
				values[in] = out[next]
			}
			near(t, c.Optimizer, values["p"], c.Steps[i])
		}
	}
	for _, name := range optim.Names() {
		if !seen[name] {
			t.Errorf("optimizer %s has no case in optim.json", name)
		}
	}
}

// Each loss and its gradient, in float64, are PyTorch's: for rewards near each other and far apart, equal, at the kink of
// hinge, and for answers of unequal lengths.
func TestLossesEqualPyTorch(t *testing.T) {
	var cases []struct {
		Loss           string
		Beta           float64
		LabelSmoothing float64 `json:"label_smoothing"`
		Policy         [][]float64
		Reference      [][]float64
		Lengths        [][]float64
		Losses         []float64
		Dlogps         [][]float64
	}
	golden.JSON(t, golden.Testdata(t, "golden", "loss.json"), &cases)
	for _, c := range cases {
		g, err := lossWithGradient(named(t, c.Loss), onnx.Float64)
		if err != nil {
			t.Fatal(err)
		}
		groups, k := len(c.Policy), len(c.Policy[0])
		values := map[string][]float64{"beta": {c.Beta}, "label_smoothing": {c.LabelSmoothing}, "policy_logps": flat(c.Policy), "reference_logps": flat(c.Reference),
			"lengths": flat(c.Lengths)}
		for range groups {
			values["weight"] = append(values["weight"], 1/float64(groups))
			values["margin"] = append(values["margin"], 0)
		}
		choices := make([]loss.Choices, groups)
		for i := range choices {
			if choices[i], err = loss.Rank(sequence(0, k), false); err != nil {
				t.Fatal(err)
			}
		}
		q := addChoices(values, choices, k)
		out := run(t, g, map[string]int64{"G": int64(groups), "K": int64(k), "Q": int64(q)}, values)
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

// Schedules with TRL's warm-up are transformers'; the paper's warm-up is its code's.
func TestSchedulesEqualTransformers(t *testing.T) {
	var want struct {
		Warmup, Total            int
		Constant, Linear, Cosine []float64
	}
	golden.JSON(t, golden.Testdata(t, "golden", "schedule.json"), &want)
	for name, rates := range map[string][]float64{"constant": want.Constant, "linear": want.Linear, "cosine": want.Cosine} {
		s, err := optim.NewSchedule(name, 1, want.Warmup, want.Total, "trl")
		if err != nil {
			t.Fatal(err)
		}
		paper, err := optim.NewSchedule(name, 1, want.Warmup, want.Total, "paper")
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range rates {
			if math.Abs(s.Rate(i)-w) > 1e-15 {
				t.Errorf("%s: the rate of step %d is %v, transformers has %v", name, i, s.Rate(i), w)
			}
			if p := math.Min(1, float64(i+1)/float64(want.Warmup+1)); i < want.Warmup && paper.Rate(i) != p {
				t.Errorf("%s: the paper's rate of step %d is %v, want %v", name, i, paper.Rate(i), p)
			}
		}
	}
	if len(optim.Schedules()) != 3 {
		t.Errorf("schedules %v: three have a case", optim.Schedules())
	}
}
