package dpo

import (
	"cmp"
	"fmt"
	"math"
	"strconv"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// A number under 6e-8 is 0 in float16, so a backward pass in it computes the gradient of the loss times a scale, which the update and the norm
// divide by again (Micikevicius et al. 2018, arXiv 1710.03740, Section 3.2).
//
// The dynamic scale is that of PyTorch's torch.amp.GradScaler, with its defaults. A step whose gradient overflows is skipped: weights, the
// optimizer's states and its count of updates stay, the data and the schedule of the rate go on. PyTorch has no least scale; here a gradient
// that overflows at a scale of 1 ends the run, for no scale was the cause.
const (
	dynamicScale = "dynamic"
	firstScale   = 65536
	leastScale   = 1
	mostScale    = math.MaxFloat32
	growSteps    = 2000 // in a row without overflow, after which the scale doubles
)

// lossScale is where a run's scale stands between two steps. It is never changed in place, since a checkpoint of the step before may hold it.
type lossScale struct {
	Value   float64 `json:"value"`
	Good    int     `json:"good_steps"`    // in a row since it last changed
	Skipped int     `json:"skipped_steps"` // of the run
}

// Scaling is what a step in float16 measured of its scale.
type Scaling struct {
	LossScale    float64 `json:"loss_scale"`    // that this step computed with
	SkippedSteps int     `json:"skipped_steps"` // so far, with this one
}

// passed is the scale after a step whose gradient is finite.
func (s lossScale) passed() *lossScale {
	if s.Good++; s.Good < growSteps {
		return &s
	}
	s.Good = 0
	if grown := 2 * s.Value; grown <= mostScale {
		s.Value = grown
	}
	return &s
}

// skipped is the scale after a step whose gradient is not finite; nil where there is no lower one.
func (s lossScale) skipped() *lossScale {
	if s.Value/2 < leastScale {
		return nil
	}
	return &lossScale{Value: s.Value / 2, Skipped: s.Skipped + 1}
}

// check refuses what no run comes to in so many steps.
func (s *lossScale) check(steps int) error {
	if s != nil && (!(s.Value > 0 && s.Value <= mostScale) || s.Good < 0 || s.Good >= growSteps || s.Skipped < 0 || s.Skipped > steps) {
		return fmt.Errorf("a loss scale of %v after %d good steps and %d that were skipped: after %d steps there is none such", s.Value, s.Good, s.Skipped, steps)
	}
	return nil
}

// firstLossScale is the scale that a run begins with; nil where it has none.
func (c Config) firstLossScale() (*lossScale, error) {
	if c.DType != onnx.Float16.String() {
		if c.LossScale != "" {
			return nil, fmt.Errorf("loss-scale is a setting of --dtype float16, not of %s: leave it out", cmp.Or(c.DType, onnx.Float32.String()))
		}
		return nil, nil
	}
	if !c.fixedScale() {
		return &lossScale{Value: firstScale}, nil
	}
	value, err := strconv.ParseFloat(c.LossScale, 64)
	if err != nil || !(value > 0 && value <= mostScale) {
		return nil, fmt.Errorf("loss-scale must be dynamic or a positive number, it is %q", c.LossScale)
	}
	return &lossScale{Value: value}, nil
}

// fixedScale reports a scale that is a number: it stays, and no step is skipped.
func (c Config) fixedScale() bool { return c.LossScale != "" && c.LossScale != dynamicScale }

// skips reports whether steps whose gradient overflows are skipped.
func (c Config) skips() bool { return c.DType == onnx.Float16.String() && !c.fixedScale() }

// scale is what the loss is multiplied by in the backward pass.
func (t *Trainer) scale() float64 {
	if t.state.Scale == nil {
		return 1
	}
	return t.state.Scale.Value
}

// updatesDone is how many times the optimizer has moved the weights.
func (t *Trainer) updatesDone() int {
	if t.state.Scale == nil {
		return t.state.Step
	}
	return t.state.Step - t.state.Scale.Skipped
}

// scaled multiplies the loss's gradient by the log-probabilities.
func (t *Trainer) scaled(dlogps []float64) []float64 {
	scale := t.scale()
	if scale == 1 {
		return dlogps
	}
	out := make([]float64, len(dlogps))
	for i, d := range dlogps {
		out[i] = scale * d
	}
	return out
}

// remedy is what else to do about numbers that are not finite, after what is done in any run.
func (t *Trainer) remedy() string {
	if t.state.Scale != nil && t.fixedScale() {
		return ", or lower --loss-scale (dynamic finds one)" + wider(t.compute)
	}
	return wider(t.compute)
}

// overflowed skips a step whose gradient is not finite, or ends the run.
func (t *Trainer) overflowed(m *Metrics, rows []int) error {
	what := fmt.Sprintf("the gradient's norm is %v", m.GradNorm)
	if m.Scaling == nil {
		return t.diverged(what, rows)
	}
	next := t.state.Scale.skipped()
	if !t.skips() || next == nil {
		return t.diverged(fmt.Sprintf("%s at a loss scale of %v", what, m.LossScale), rows)
	}
	t.state.Scale = next
	m.GradNorm, m.Overflowed, m.SkippedSteps = 0, true, next.Skipped
	return nil
}
