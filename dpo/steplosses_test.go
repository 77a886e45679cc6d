package dpo

import (
	"math"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// stepLossRun is a loss over some steps: see scripts/golden/make_steplosses.py.
type stepLossRun struct {
	Name  string
	Steps []struct {
		Settings          map[string]float64
		Beta              float64
		LabelSmoothing    float64 `json:"label_smoothing"`
		Policy, Reference [][]float64
		Label, Drift      []float64

		Loss    float64
		Dlogps  [][]float64
		Carried map[string]float64
	}
}

func stepLossRuns(t *testing.T) (runs []stepLossRun) {
	t.Helper()
	golden.JSON(t, golden.Testdata(t, "golden", "steplosses.json"), &runs)
	return runs
}

// furthestOff is the largest distance of numbers from those wanted, relative where these exceed atLeast.
func furthestOff(got, want []float64, atLeast float64) (worst float64) {
	for i, w := range want {
		d := math.Abs(got[i]-w) / math.Max(math.Abs(w), atLeast)
		if !(d <= worst) {
			worst = d
		}
	}
	return worst
}

// Losses of whole steps and their gradients are TRL's own, or those of the formula, for any margins and with what they carry from step to
// step: within 1e-10 relative in float64 (of numbers under 1e-5, 1e-15), and 1e-6 in float32, relative or absolute.
func TestStepLossesEqualTRL(t *testing.T) {
	worst := map[string][2]float64{}
	for _, c := range stepLossRuns(t) {
		for i, dtype := range []onnx.DType{onnx.Float64, onnx.Float32} {
			of := worst[c.Name]
			of[i] = math.Max(of[i], c.compare(t, dtype, []float64{1e-5, 1}[i]))
			worst[c.Name] = of
		}
	}
	for name, of := range worst {
		t.Logf("%s: %.1e in float64, %.1e in float32", name, of[0], of[1])
		if !(of[0] <= 1e-10 && of[1] <= 1e-6) {
			t.Errorf("%s: apart by %.2e in float64 (bar 1e-10), %.2e in float32 (1e-6)", name, of[0], of[1])
		}
	}
	for _, name := range loss.Names() {
		if l := named(t, name); (l.Scope == loss.Step || l.State != nil) && worst[name] == [2]float64{} {
			t.Errorf("loss %s has no case in steplosses.json, or one that cannot fail", name)
		}
	}
}

// compare runs the steps and gives how far the numbers are apart.
func (c stepLossRun) compare(t *testing.T, dtype onnx.DType, atLeast float64) (worst float64) {
	t.Helper()
	l := named(t, c.Name)
	g, err := lossWithGradient(l, dtype)
	if err != nil {
		t.Fatal(err)
	}
	carried := map[string]float64{}
	for _, s := range c.Steps {
		values, err := l.Resolve(s.Settings)
		if err != nil {
			t.Fatal(err)
		}
		G, K := len(s.Policy), len(s.Policy[0])
		in := map[string][]float64{"beta": {s.Beta}, "label_smoothing": {s.LabelSmoothing}, "policy_logps": flat(s.Policy), "reference_logps": flat(s.Reference),
			"label": s.Label, "drift": s.Drift}
		for name, v := range values {
			in[name] = []float64{v}
		}
		for range G {
			in["weight"] = append(in["weight"], 1/float64(G))
		}
		for _, name := range l.State {
			in["state."+name] = []float64{carried[name]}
		}
		out := run(t, g, map[string]int64{"G": int64(G), "K": int64(K), "Q": 1}, in)
		got, want := append(out["loss"], out["dlogps"]...), append([]float64{s.Loss}, flat(s.Dlogps)...)
		for _, name := range l.State {
			carried[name] = out["next."+name][0]
			got, want = append(got, carried[name]), append(want, s.Carried[name])
		}
		worst = math.Max(worst, furthestOff(got, want, atLeast))
	}
	return worst
}
