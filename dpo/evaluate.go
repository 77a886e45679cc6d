package dpo

import (
	"fmt"
	"time"
)

// evalBatches lists the rows of the held-out data by micro-batch.
func (t *Trainer) evalBatches() [][]int {
	return microBatches(t.eval.Examples, sequence(0, len(t.eval.Examples)), t.MicroBatch, t.memoryPlan.MicroTokens)
}

// evaluate measures the policy on the held-out data, if there is any, once a step.
func (t *Trainer) evaluate(yield func(Event) bool) error {
	e := Evaluation{Step: t.state.Step, Groups: len(t.eval.Examples)}
	if e.Groups == 0 || t.state.Evaluated == e.Step {
		return nil
	}
	start := time.Now()
	batches := t.evalBatches()
	for i, rows := range batches {
		groups := pick(t.eval.Examples, rows)
		logps, err := t.policyLogps(groups)
		if err != nil {
			return fmt.Errorf("evaluate: %w", err)
		}
		out, err := t.method.loss(t.policy.engine, groups, logps, pick(t.refs.Eval, rows), e.Groups)
		if err != nil {
			return fmt.Errorf("evaluate: %w", err)
		}
		e.add(groups, out.loss, logps, out.rewards, float64(e.Groups))
		if i < len(batches)-1 && !yield(Event{Phase: "eval", Done: i + 1, Total: len(batches)}) {
			return errStopped
		}
	}
	if !e.finite() {
		return fmt.Errorf("evaluate after step %d: the loss on held-out data is %v", e.Step, e.Loss)
	}
	e.Seconds = time.Since(start).Seconds()
	if err := t.metrics.write(e); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	t.state.Evaluated = e.Step
	t.summary.takeEvaluation(e)
	if !yield(Event{Phase: "eval", Done: len(batches), Total: len(batches), Evaluation: &e}) {
		return errStopped
	}
	return nil
}
