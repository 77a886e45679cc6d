package dpo

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// evalBatches lists the rows of the held-out data by micro-batch.
func (t *Trainer) evalBatches() (micros [][]int) {
	for _, rows := range t.evalSteps() {
		micros = append(micros, t.evalMicroBatches(rows, t.memoryPlan.MicroTokens)...)
	}
	return micros
}

func (t *Trainer) evalMicroBatches(rows []int, tokens int) [][]int {
	return microBatches(t.eval.Examples, rows, t.MicroBatch, tokens)
}

// evalSteps cuts the held-out data into what the loss looks at together at most: steps of the training batch's size, in the order of the data,
// where it is one of all groups of a step; else one.
func (t *Trainer) evalSteps() [][]int {
	rows := sequence(0, len(t.eval.Examples))
	if t.loss.Scope != loss.Step || len(rows) == 0 {
		return [][]int{rows}
	}
	return slices.Collect(slices.Chunk(rows, t.Batch))
}

// lossBatches are the rows that the loss graph is run over at once: those of each micro-batch of a step, or of the whole step.
func (t *Trainer) lossBatches(step []int, micros [][]int) [][]int {
	if t.loss.Scope == loss.Step {
		return [][]int{step}
	}
	return micros
}

// evaluated is the loss of rows of the held-out data, or why there is none.
type evaluated struct {
	losses
	rows []int
	err  error
}

// measureEval yields the loss of all held-out rows. What the loss carries from step to step is that of the last step, and stays so.
func (t *Trainer) measureEval(all whole) iter.Seq[evaluated] {
	return func(yield func(evaluated) bool) {
		if t.loss.Scope == loss.Step {
			for _, rows := range t.evalSteps() {
				if !yield(t.evaluateStep(rows, all)) {
					return
				}
			}
			return
		}
		for out, err := range inLanes(t.engines, t.evalBatches(), func(e *engine.Engine, rows []int) evaluated { return t.evaluateMicro(e, rows, all) }) {
			if out.err = cmp.Or(err, out.err); !yield(out) {
				return
			}
		}
	}
}

func (t *Trainer) evaluateMicro(e *engine.Engine, rows []int, all whole) evaluated {
	out := evaluated{rows: rows}
	in := measured{groups: pick(t.eval.Examples, rows)}
	pass, err := e.Rehearse(t.policy.weights, t.policy.batch(in.groups))
	if err == nil {
		in.policy, in.trust = pass.LogProbs, t.trust(in.groups, pass)
		in.reference, err = t.referenceOf(e, in.groups, t.refs.Eval, rows)
	}
	if out.err = err; err == nil {
		out.losses, out.err = t.method.loss(e, in, nil, all)
	}
	return out
}

func (t *Trainer) evaluateStep(rows []int, all whole) evaluated {
	out := evaluated{rows: rows}
	in, at := measured{groups: pick(t.eval.Examples, rows)}, places(rows, t.evalMicroBatches(rows, t.memoryPlan.MicroTokens))
	logps, err := scoreAll(t.policyLanes(t.policy.weights), in.groups, at)
	if err == nil {
		in.reference, err = t.referenceOfAll(in.groups, t.refs.Eval, rows, at)
	}
	if err == nil {
		in.drift, err = t.drift(in.groups)
	}
	if out.err = err; err == nil {
		in.policy = slices.Concat(logps...)
		out.losses, out.err = t.method.loss(t.engines[0], in, t.state.Loss, all)
	}
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
	all, done, total := t.whole(t.eval.Examples), 0, len(t.evalBatches())
	if t.loss.Scope == loss.Step {
		total = len(t.evalSteps())
	}
	for out := range t.measureEval(all) {
		if out.err != nil {
			return false, fmt.Errorf("evaluate: %w", out.err)
		}
		if ctx.Err() != nil {
			return false, nil
		}
		e.add(pick(t.eval.Examples, out.rows), out.losses, float64(all.total))
		if done++; done < total && !yield(Event{Phase: "eval", Done: done, Total: total}) {
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
	if !yield(Event{Phase: "eval", Done: total, Total: total, Evaluation: &e}) {
		return false, errStopped
	}
	return t.judge(e), nil
}
