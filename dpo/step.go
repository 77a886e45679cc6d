package dpo

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// step takes one step of the optimizer, so that policy and state are those of the next:
//
//	g    = Σ over groups of ∇loss(group) / groups        in micro-batches (of likelihood, / scored tokens)
//	norm = ‖g‖,  scale = min(1, max-grad-norm / (norm + 1e-6))
//	p    = update(p, scale·g)
func (t *Trainer) step() (Metrics, error) {
	start := time.Now()
	i := t.state.Step
	rate := t.schedule.Rate(i)
	m := Metrics{Step: i + 1, Epoch: float64(i+1) / float64(t.order.stepsPerEpoch()), LearningRate: rate, Preferences: Preferences{Objective: t.Objective},
		RowsDropped: len(t.rows.Dropped), RowsTruncated: t.rows.Truncated}
	if i == 0 {
		m.ReferenceSeconds = t.state.ReferenceSeconds
	}
	rows := t.order.step(i)
	total := t.whole(pick(t.rows.Examples, rows))
	grads := t.grads
	if t.memoryPlan.Release {
		grads = []*engine.Gradients{t.optimizer.Released(t.scalars(i, rate, 1))}
	}
	if err := t.accumulate(&m, t.microBatches(i), total, grads); err != nil {
		return m, err
	}
	if err := t.update(&m, rows, i); err != nil {
		return m, err
	}
	before := t.state.NumTokens
	for _, row := range rows {
		t.state.NumTokens += t.tokens(t.rows.Examples[row])
	}
	t.state.Step++
	m.NumTokens = t.state.NumTokens
	m.StepSeconds = time.Since(start).Seconds()
	m.TokensPerSecond = float64(t.state.NumTokens-before) / m.StepSeconds
	m.PeakMemoryBytes, m.DeviceMemory = peakMemory(), takenOf(t.options.Device)
	return m, nil
}

// update measures the gradient and moves the weights, unless they have moved with it: see engine.Optimizer.Released.
func (t *Trainer) update(m *Metrics, rows []int, i int) (err error) {
	start := time.Now()
	if m.GradNorm, err = t.optimizer.Norm(); err != nil || t.memoryPlan.Release {
		return err
	}
	if !allFinite([]float64{m.GradNorm}) {
		return t.diverged(fmt.Sprintf("the gradient's norm is %v", m.GradNorm), rows)
	}
	err = t.optimizer.Step(t.scalars(i, m.LearningRate, t.clip(m.GradNorm)))
	m.OptimizerSeconds = time.Since(start).Seconds()
	return err
}

// scalars are the optimizer's in a step, from 0, that scales the gradient.
func (t *Trainer) scalars(step int, rate, scale float64) map[string]float64 {
	return t.method.optimizer.Scalars(optim.Step{Index: step, Rate: rate, Scale: scale, WeightDecay: t.WeightDecay})
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

// accumulate makes the gradient of a step's loss, the sum of those of its micro-batches: in grads[0].
func (t *Trainer) accumulate(m *Metrics, micros [][]int, total int, grads []*engine.Gradients) error {
	out := make([]losses, len(micros))
	err := sideBySide(t.engines, len(grads), func(e *engine.Engine, lane int) (err error) {
		grads[lane].Clear()
		for i := lane; i < len(micros) && err == nil; i += len(grads) {
			out[i], err = t.backward(e, micros[i], total, grads[lane])
		}
		return err
	})
	if err != nil {
		return err
	}
	var w work
	for i, micro := range micros {
		groups := pick(t.rows.Examples, micro)
		w.add(shapeOf(groups, t.policy.long), groups)
		m.add(groups, out[i], float64(total))
	}
	m.Work = w.ratios()
	return grads[0].Add(grads[1:]...)
}

// backward adds the gradient of one micro-batch's part of the loss.
func (t *Trainer) backward(e *engine.Engine, rows []int, total int, grads *engine.Gradients) (out losses, err error) {
	groups := pick(t.rows.Examples, rows)
	pass, err := e.Forward(t.policy.weights, t.policy.batch(groups))
	if err != nil {
		return out, err
	}
	defer pass.Close()
	if out, err = t.method.loss(e, groups, pass.LogProbs, pick(t.refs.Train, rows), total); err != nil {
		return out, err
	}
	if !allFinite([]float64{out.loss}) || !allFinite(out.policy) {
		return out, t.diverged(fmt.Sprintf("the loss is %v", out.losses), rows)
	}
	err = pass.Backward(grads, out.dlogps)
	if errors.Is(err, engine.ErrNotFinite) {
		t.spoiled = true
		return out, t.diverged(err.Error(), rows)
	}
	return out, err
}

// DivergedError is a loss or gradient that is NaN or infinite.
type DivergedError struct {
	Step int // the step it happened in, from 1
	What string
	Rows []string // file and row of those in the micro-batch or step
}

func (e *DivergedError) Error() string {
	const most = 8
	rows := strings.Join(e.Rows[:min(most, len(e.Rows))], ", ")
	if more := len(e.Rows) - most; more > 0 {
		rows += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("step %d: %s, in %s: lower --lr or --max-grad-norm, or look at these rows", e.Step, e.What, rows)
}

func (t *Trainer) diverged(what string, rows []int) error {
	e := &DivergedError{Step: t.state.Step + 1, What: what}
	for _, row := range rows {
		x := t.rows.Examples[row]
		e.Rows = append(e.Rows, fmt.Sprintf("%s row %d", x.File, x.Row))
	}
	return e
}

// method is the loss and the optimizer of an artifact with their settings.
type method struct {
	optimizer *optim.Optimizer
	name      string
	ties      datasets.TiePolicy
	graph     *onnx.Graph
	scalars   map[string]float64
}

func newMethod(c Config, a *artifact.Artifact) (*method, error) {
	o, err := optim.New(a.Optimizer, c.OptimizerSettings)
	if err != nil {
		return nil, err
	}
	return &method{optimizer: o, name: a.Loss, ties: datasets.TiePolicy(c.Ties), graph: a.Graphs[lossGraph],
		scalars: map[string]float64{"beta": c.Beta, "label_smoothing": c.LabelSmoothing}}, nil
}

// losses are a micro-batch's: the weighted sum, each group's [G]; the policy's log-probabilities, rewards (nil of a loss of completions alone)
// and the gradient [G,K].
type losses struct {
	loss                            float64
	losses, policy, rewards, dlogps []float64
}

// loss runs the loss graph over groups of one K. Each group weighs 1/total.
func (m *method) loss(e *engine.Engine, groups []datasets.Example, policy []float64, reference [][]float64, total int) (losses, error) {
	G, K := len(groups), len(groups[0].Completions)
	l, err := loss.Lookup(m.name)
	if err != nil {
		return losses{}, err
	}
	choices := make([]loss.Choices, G)
	for g, x := range groups {
		if choices[g], err = choicesOf(l, x, m.ties); err != nil {
			return losses{}, fmt.Errorf("row %d of %s: %w", x.Row, x.File, err)
		}
	}
	values := map[string][]float64{"policy_logps": policy, "reference_logps": slices.Concat(reference...)}
	for _, x := range groups {
		values["margin"] = append(values["margin"], x.Margin)
		values["weight"] = append(values["weight"], 1/float64(total))
		for k := range x.Completions {
			values["lengths"] = append(values["lengths"], float64(scored(x, k)))
		}
	}
	for name, v := range m.scalars {
		values[name] = []float64{v}
	}
	sizes, inputs := map[string]int64{"G": int64(G), "K": int64(K), "Q": int64(addChoices(values, choices, K))}, map[string]engine.Array{}
	for _, in := range m.graph.Inputs {
		shape, err := in.Shape.Eval(sizes)
		if err != nil {
			return losses{}, fmt.Errorf("loss %s: input %s: %w", m.name, in.Name, err)
		}
		inputs[in.Name] = engine.Floats(in.Type, values[in.Name], shape...)
	}
	out, err := e.Call(lossGraph, sizes, inputs)
	if err != nil {
		return losses{}, err
	}
	return losses{out["loss"][0], out["losses"], policy, out["rewards"], out["dlogps"]}, nil
}
