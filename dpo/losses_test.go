package dpo

import (
	"fmt"
	"math"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// goldenLosses are what TRL's code, and PyTorch by the papers' formulas, say of losses: see scripts/golden/make_losses.py.
type goldenLosses struct {
	Inputs []lossInput
	Cases  []lossCase
}

type lossInput struct {
	Beta                       float64
	Policy, Reference, Lengths [][]float64
	Margin                     []float64
}

type lossCase struct {
	Loss, Divergence, By string
	Input                int
	Settings             map[string]float64
	Losses               []float64
	Dlogps               [][]float64
}

func (c lossCase) String() string {
	return fmt.Sprintf("%s %s%v, input %d, by %s", c.Loss, c.Divergence, c.Settings, c.Input, c.By)
}

// lossBar is how far a number may be from its reference: relative, or where a difference of numbers near 1 is smaller than they are exact,
// absolute.
type lossBar struct{ relative, absolute float64 }

var lossBars = map[onnx.DType]lossBar{onnx.Float64: {1e-10, 1e-15}, onnx.Float32: {1e-6, 1e-6}}

// apart is the largest distance in units of the bar.
func (b lossBar) apart(got, want []float64) (worst float64) {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	for i, w := range want {
		d := math.Abs(got[i]-w) / math.Max(b.relative*math.Abs(w), b.absolute)
		if !(d <= worst) {
			worst = d
		}
	}
	return worst
}

// values are the inputs of a case's graph, as far as it has them.
func (in lossInput) values(t *testing.T, settings map[string]float64) (map[string][]float64, map[string]int64) {
	t.Helper()
	groups, k := len(in.Policy), len(in.Policy[0])
	values := map[string][]float64{"beta": {in.Beta}, "label_smoothing": {0}, "policy_logps": flat(in.Policy), "reference_logps": flat(in.Reference),
		"lengths": flat(in.Lengths), "margin": in.Margin, "mean_tokens": {0}}
	choices := make([]loss.Choices, groups)
	for i := range choices {
		values["weight"] = append(values["weight"], 1/float64(groups))
		if in.Lengths != nil {
			values["mean_tokens"][0] += in.Lengths[i][0] / float64(groups)
		}
		var err error
		if choices[i], err = loss.Rank(sequence(0, k), false); err != nil {
			t.Fatal(err)
		}
	}
	for name, v := range settings {
		values[name] = []float64{v}
	}
	q := addChoices(values, choices, k)
	return values, map[string]int64{"G": int64(groups), "K": int64(k), "Q": int64(q)}
}

// under is a loss by its name, with an f-divergence where one is named, and its settings resolved.
func (c lossCase) under(t *testing.T) (*loss.Loss, map[string]float64) {
	t.Helper()
	l, own := named(t, c.Loss), map[string]float64{}
	if c.Divergence != "" {
		var err error
		if l, err = l.Under(c.Divergence); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range settings.Named(l.Settings) {
		if v, ok := c.Settings[s.Name]; ok {
			own[s.Name] = v
		}
	}
	resolved, err := l.Resolve(given(own))
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := c.Settings["label_smoothing"]; ok {
		resolved["label_smoothing"] = v
	}
	return l, resolved
}

// lossRunner is a loss's graph, ready to run.
type lossRunner struct {
	graph  *onnx.Graph
	engine *engine.Engine
}

func newLossRunner(t *testing.T, l *loss.Loss, dtype onnx.DType) *lossRunner {
	t.Helper()
	g, err := lossWithGradient(l, dtype)
	if err != nil {
		t.Fatal(err)
	}
	return &lossRunner{g, openGraph(t, g)}
}

// risenAlike reports rewards that are far from 0 and equal. The log-sum-exp of a ranking then has the digits of the rewards, not of the
// loss, which float32 tells apart and float64, in which runs compute their losses, does not.
func risenAlike(in lossInput) bool {
	first, second := in.Policy[0][0]-in.Reference[0][0], in.Policy[0][1]-in.Reference[0][1]
	return first == second && math.Abs(first) > 1e3
}

// Each loss and its gradient are those of TRL's code, or of its paper's formula in PyTorch: 1e-10 relative in float64, 1e-6 relative or
// absolute in float32, at random log-probs and hard ones: log-ratios of ±1e4, equal answers, answers of one token, nothing learnt yet.
func TestLossesEqualTRL(t *testing.T) {
	var want goldenLosses
	golden.JSON(t, golden.Testdata(t, "golden", "losses.json"), &want)
	seen, divergences := map[string]bool{}, map[string]bool{loss.ReverseKL: true}
	for dtype, bar := range lossBars {
		worst, open := 0.0, map[string]*lossRunner{}
		for _, c := range want.Cases {
			seen[c.Loss], divergences[c.Divergence] = true, true
			if dtype == onnx.Float32 && c.Loss == "plackett_luce" && risenAlike(want.Inputs[c.Input]) {
				continue
			}
			l, settings := c.under(t)
			values, sizes := want.Inputs[c.Input].values(t, settings)
			r := open[c.Loss+c.Divergence]
			if r == nil {
				r = newLossRunner(t, l, dtype)
				open[c.Loss+c.Divergence] = r
			}
			out := call(t, r.engine, sizes, values)
			value, gradient := bar.apart(out["losses"], c.Losses), bar.apart(out["dlogps"], flat(c.Dlogps))
			if worst = math.Max(worst, math.Max(value, gradient)); !(value <= 1 && gradient <= 1) {
				t.Errorf("%s, %s: losses %v, want %v (%.2g of the bar); gradient %v, want %v (%.2g)", dtype, c, out["losses"], c.Losses, value, out["dlogps"], c.Dlogps, gradient)
			}
		}
		for _, r := range open {
			r.engine.Close()
		}
		t.Logf("%s: %d cases, the worst at %.2g of the bar", dtype, len(want.Cases), worst)
	}
	for _, c := range stepLossRuns(t) {
		seen[c.Name] = true // for TestStepLossesEqualTRL
	}
	for _, name := range loss.Names() {
		if !seen[name] {
			t.Errorf("loss %s has no case in losses.json", name)
		}
	}
	for _, name := range loss.Divergences() {
		if !divergences[name] {
			t.Errorf("f-divergence %s has no case in losses.json", name)
		}
	}
}
