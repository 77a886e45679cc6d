package dpo

import (
	"cmp"
	"context"
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

func (t *Trainer) evaluated(e *engine.Engine, rows []int, all whole) (out evaluated) {
	groups := pick(t.eval.Examples, rows)
	logps, err := t.logps(e, t.policy.weights, groups)
	if err != nil {
		return evaluated{err: err}
	}
	out.losses, out.err = t.method.loss(e, groups, logps, pick(t.refs.Eval, rows), all)
	return out
}

// evaluationDue reports whether the policy is to be measured before the next step.
func (t *Trainer) evaluationDue() bool {
	step := t.state.Step
	return len(t.eval.Examples) > 0 && t.state.Evaluated != step && (step == t.total || t.EvalEvery > 0 && step%t.EvalEvery == 0)
}

// evaluate measures the policy on the held-out data, and reports whether its loss was never lower; one that is interrupted comes to nothing.
func (t *Trainer) evaluate(ctx context.Context, yield func(Event) bool) (better bool, err error) {
	e := Evaluation{Step: t.state.Step, Groups: len(t.eval.Examples), Preferences: Preferences{Objective: t.Objective}}
	start := time.Now()
	batches, all := t.evalBatches(), t.whole(t.eval.Examples)
	i := 0
	for out, err := range inLanes(t.engines, batches, func(e *engine.Engine, rows []int) evaluated { return t.evaluated(e, rows, all) }) {
		if err = cmp.Or(err, out.err); err != nil {
			return false, fmt.Errorf("evaluate: %w", err)
		}
		if ctx.Err() != nil {
			return false, nil
		}
		e.add(pick(t.eval.Examples, batches[i]), out.losses, float64(all.total))
		if i++; i < len(batches) && !yield(Event{Phase: "eval", Done: i, Total: len(batches)}) {
			return false, errStopped
		}
	}
	if !e.finite() {
		return false, fmt.Errorf("evaluate after step %d: the loss on held-out data is %v", e.Step, e.Loss)
	}
	e.Seconds = time.Since(start).Seconds()
	if err := t.metrics.write(e); err != nil {
		return false, fmt.Errorf("write metrics: %w", err)
	}
	t.state.Evaluated = e.Step
	t.summary.takeEvaluation(e)
	if !yield(Event{Phase: "eval", Done: len(batches), Total: len(batches), Evaluation: &e}) {
		return false, errStopped
	}
	return t.judge(e), nil
}
