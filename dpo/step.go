package dpo

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// step takes one step of the optimizer, so that policy and state are those of the next:
//
//	g    = Σ over groups of ∇loss(group) / groups        in micro-batches (of likelihood, / scored tokens)
//	norm = ‖g‖,  scale = min(1, max-grad-norm / (norm + 1e-6))
//	p    = update(p, scale·g)
//
// In float16 g is computed of the loss times a scale, see lossScale, and a step may be skipped.
func (t *Trainer) step() (Metrics, error) {
	start := time.Now()
	i := t.state.Step
	rate := t.schedule.Rate(i)
	m := Metrics{Step: i + 1, Epoch: float64(i+1) / float64(t.order.stepsPerEpoch()), LearningRate: rate, Preferences: Preferences{Objective: t.Objective},
		RowsDropped: len(t.rows.Dropped), RowsTruncated: t.rows.Truncated}
	if s := t.state.Scale; s != nil {
		m.Scaling = &Scaling{LossScale: s.Value, SkippedSteps: s.Skipped}
	}
	if i == 0 {
		m.ReferenceSeconds = t.state.ReferenceSeconds
	}
	rows := t.order.step(i)
	all := t.whole(pick(t.rows.Examples, rows))
	grads := t.grads
	if t.memoryPlan.Release {
		grads = []*engine.Gradients{t.optimizer.Released(t.scalars(rate, 1))}
	}
	carried, err := t.accumulate(&m, rows, t.microBatches(i), all, grads)
	if err != nil {
		return m, err
	}
	if err := t.update(&m, rows); err != nil {
		return m, err
	}
	if err := t.follow(i + 1); err != nil {
		return m, err
	}
	before := t.state.NumTokens
	for _, row := range rows {
		t.state.NumTokens += t.tokens(t.rows.Examples[row])
	}
	t.state.Step++
	t.state.Loss = carried
	m.NumTokens = t.state.NumTokens
	m.StepSeconds = time.Since(start).Seconds()
	m.TokensPerSecond = float64(t.state.NumTokens-before) / m.StepSeconds
	m.PeakMemoryBytes, m.DeviceMemory = peakMemory(), takenOf(t.options.Device)
	return m, nil
}

// update measures the gradient and moves the weights, unless they have moved with it: see engine.Optimizer.Released.
func (t *Trainer) update(m *Metrics, rows []int) error {
	start := time.Now()
	norm, err := t.optimizer.Norm()
	if m.GradNorm = norm / t.scale(); err != nil || t.memoryPlan.Release {
		return err
	}
	if !allFinite([]float64{m.GradNorm}) {
		return t.overflowed(m, rows)
	}
	err = t.optimizer.Step(t.scalars(m.LearningRate, t.clip(m.GradNorm)))
	m.OptimizerSeconds = time.Since(start).Seconds()
	if err == nil && t.skips() {
		t.state.Scale = t.state.Scale.passed()
	}
	return err
}

// scalars are the optimizer's in the next update, which multiplies the gradient by a factor.
func (t *Trainer) scalars(rate, factor float64) map[string]float64 {
	return t.method.optimizer.Scalars(optim.Step{Index: t.updatesDone(), Rate: rate, Scale: factor / t.scale(), WeightDecay: t.WeightDecay})
}

// microBatches lists the rows of each micro-batch of a step.
func (t *Trainer) microBatches(step int) [][]int {
	return microBatches(t.rows.Examples, t.order.step(step), t.MicroBatch, t.memoryPlan.MicroTokens)
}

// clip is the factor of the gradient, as torch.nn.utils.clip_grad_norm_ has it.
func (t *Trainer) clip(norm float64) float64 {
	if t.MaxGradNorm == 0 {
		return 1
	}
	return math.Min(1, t.MaxGradNorm/(norm+1e-6))
}

// DivergedError is a loss or gradient that is NaN or infinite.
type DivergedError struct {
	Step int // the step it happened in, from 1
	What string
	Rows []string // file and row of those in the micro-batch or step
	Hint string   // what else to do than is said of any run
}

func (e *DivergedError) Error() string {
	const most = 8
	rows := strings.Join(e.Rows[:min(most, len(e.Rows))], ", ")
	if more := len(e.Rows) - most; more > 0 {
		rows += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("step %d: %s, in %s: lower --lr or --max-grad-norm, or look at these rows%s", e.Step, e.What, rows, e.Hint)
}

func (t *Trainer) diverged(what string, rows []int) error {
	e := &DivergedError{Step: t.state.Step + 1, What: what, Hint: t.remedy()}
	for _, row := range rows {
		x := t.rows.Examples[row]
		e.Rows = append(e.Rows, fmt.Sprintf("%s row %d", x.File, x.Row))
	}
	return e
}
