package dpo

import (
	"fmt"
	"slices"
	"time"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// Plan is what a run will do, before it does anything.
type Plan struct {
	Streamed                   bool // rows are read while steps are taken: what is counted are those of the first steps
	Groups, Dropped, Truncated int  // of the training data
	EvalGroups                 int
	Known                      int   // groups, of both, whose reference the data holds
	BorderTokens               int   // tokens that span the border of a prompt and a completion
	Tokens                     int64 // of one epoch, prompts counted once a completion
	Steps, StepsPerEpoch       int
	MicroBatches               int // of the first step
	Parameters                 int64
	Trained                    int64 // of these
	Memory                     Memory
	Fit                        MemoryPlan
	Layers                     int
	Seconds                    float64 // of the whole run, 0 unless measured

	Found    []string           `json:"found,omitempty"`    // in a model that was exported to ONNX: see exported.Model.Report
	Warnings []datasets.Warning `json:"warnings,omitempty"` // about the data, where it is measured
}

// Plan counts rows, tokens and memory; with measure it also runs a micro-batch to tell how long the run will take.
func (t *Trainer) Plan(measure bool) (Plan, error) {
	if measure && t.stream != nil {
		if err := t.fill(t.total - 1); err != nil {
			return Plan{}, err
		}
	}
	p := Plan{Streamed: t.stepsRead() < t.total, Known: t.fromColumns, Groups: len(t.rows.Examples), Dropped: len(t.rows.Dropped), Truncated: t.rows.Truncated, EvalGroups: len(t.eval.Examples),
		BorderTokens: t.rows.Border, Parameters: t.policy.model.Parameters(), Trained: t.policy.model.Elements(t.policy.model.Trained()), Steps: t.total, StepsPerEpoch: t.order.stepsPerEpoch(), MicroBatches: len(t.microBatches(0))}
	for _, x := range t.rows.Examples {
		p.Tokens += t.tokens(x)
	}
	p.Memory, p.Fit, p.Layers = t.expected, t.memoryPlan, t.policy.engine.Layers()
	if x := t.policy.model.Exported; x != nil {
		p.Found = x.Report()
	}
	if !measure {
		return p, nil
	}
	p.Warnings = slices.Concat(t.warnings, t.survey().Warnings())
	largest, size := t.largest()
	seconds, err := t.measure(t.policy.batch(pick(t.rows.Examples, largest)))
	seconds /= float64(len(t.engines))
	if err != nil {
		return p, fmt.Errorf("measure a micro-batch: %w", err)
	}
	const forward = 1.0 / 3 // what a pass without gradients takes, beside one with
	reference := forward
	if t.unreferenced() || t.follower != nil {
		reference = 0
	}
	steps := float64(t.total) / float64(p.StepsPerEpoch)
	p.Seconds = seconds / float64(size) * float64(p.Tokens) * (steps*(1+forward*float64(t.again(p.MicroBatches))) + reference)
	return p, nil
}

// again is how often a step of so many micro-batches runs forward beside its passes with gradients.
func (t *Trainer) again(micros int) (passes int) {
	if t.loss.Scope == loss.Step && micros > 1 {
		passes++
	}
	if t.follower != nil {
		passes++
	}
	if t.drifts() {
		passes += 2 // by policy and reference
	}
	return passes
}

// filled counts rows that are not nil.
func filled(rows [][]float64) (n int) {
	for _, of := range rows {
		if of != nil {
			n++
		}
	}
	return n
}

// largest is the micro-batch of the first steps with most tokens.
func (t *Trainer) largest() (rows []int, size int64) {
	for step := range min(t.stepsRead(), 8) {
		for _, micro := range t.microBatches(step) {
			n := int64(0)
			for _, x := range pick(t.rows.Examples, micro) {
				n += tokens(x)
			}
			if n > size {
				rows, size = micro, n
			}
		}
	}
	return rows, size
}

// measure times a micro-batch, forward and backward, once its memory is there.
func (t *Trainer) measure(b *engine.Batch) (seconds float64, err error) {
	for range 2 {
		start := time.Now()
		grads := t.sum()
		if t.memoryPlan.Release { // a rate of 0 moves nothing
			grads = t.optimizer.Released(t.method.optimizer.Scalars(optim.Step{}))
		}
		pass, err := t.engines[0].Forward(t.policy.weights, b)
		if err != nil {
			return 0, err
		}
		if err := pass.Backward(grads, make([]float64, b.Sizes["N"])); err != nil {
			return 0, err
		}
		seconds = time.Since(start).Seconds()
	}
	return seconds, nil
}
