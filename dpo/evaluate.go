package dpo

import (
	"cmp"
	"fmt"
	"time"

	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// evalBatches lists the rows of the held-out data by micro-batch.
func (t *Trainer) evalBatches() [][]int {
	return microBatches(t.eval.Examples, sequence(0, len(t.eval.Examples)), t.MicroBatch, t.memoryPlan.MicroTokens)
}

// evaluated is a micro-batch's loss, or why there is none.
type evaluated struct {
	losses
	err error
}

func (t *Trainer) evaluated(e *engine.Engine, rows []int, total int) (out evaluated) {
	groups := pick(t.eval.Examples, rows)
	logps, err := t.logps(e, t.policy.weights, groups)
	if err != nil {
		return evaluated{err: err}
	}
	out.losses, out.err = t.method.loss(e, groups, logps, pick(t.refs.Eval, rows), total)
	return out
}

// evaluate measures the policy on the held-out data, if there is any, once a step.
func (t *Trainer) evaluate(yield func(Event) bool) error {
	e := Evaluation{Step: t.state.Step, Groups: len(t.eval.Examples), Preferences: Preferences{Objective: t.Objective}}
	if e.Groups == 0 || t.state.Evaluated == e.Step {
		return nil
	}
	start := time.Now()
	batches, total := t.evalBatches(), t.whole(t.eval.Examples)
	i := 0
	for out, err := range inLanes(t.engines, batches, func(e *engine.Engine, rows []int) evaluated { return t.evaluated(e, rows, total) }) {
		if err = cmp.Or(err, out.err); err != nil {
			return fmt.Errorf("evaluate: %w", err)
		}
		e.add(pick(t.eval.Examples, batches[i]), out.losses, float64(total))
		if i++; i < len(batches) && !yield(Event{Phase: "eval", Done: i, Total: len(batches)}) {
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
