package dpo

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// accumulate makes the gradient of a step's loss, the sum of those of its micro-batches, in grads[0], and gives what the loss carries to the
// next step.
func (t *Trainer) accumulate(m *Metrics, rows []int, micros [][]int, all whole, grads []*engine.Gradients) (carried map[string]float64, err error) {
	if t.loss.Scope == loss.Step {
		carried, err = t.together(m, rows, micros, all, grads)
	} else {
		err = t.apart(m, micros, all, grads)
	}
	if err != nil {
		return nil, err
	}
	var w work
	for _, micro := range micros {
		groups := pick(t.rows.Examples, micro)
		w.add(shapeOf(groups, t.policy.long), groups)
	}
	m.Work = w.ratios()
	return carried, grads[0].Add(grads[1:]...)
}

// apart computes the loss of each micro-batch by itself.
func (t *Trainer) apart(m *Metrics, micros [][]int, all whole, grads []*engine.Gradients) error {
	out := make([]losses, len(micros))
	err := t.backward(micros, grads, func(e *engine.Engine, pass *engine.Pass, i int) (_ []float64, err error) {
		in := measured{groups: pick(t.rows.Examples, micros[i]), policy: pass.LogProbs}
		if in.reference, err = t.referenceOf(e, in.groups, t.refs.Train, micros[i]); err != nil {
			return nil, err
		}
		in.trust = t.trust(in.groups, pass)
		out[i], err = t.lossOf(e, in, micros[i], all)
		return out[i].dlogps, err
	})
	if err != nil {
		return err
	}
	for i, micro := range micros {
		m.add(pick(t.rows.Examples, micro), out[i], float64(all.total))
	}
	return nil
}

// together computes the loss of all groups of a step at once. Its gradient by a micro-batch's log-probabilities is known when all of them are,
// so where there are several micro-batches each runs forward twice, by the same graphs and to the same bits: to be measured, and to be
// kept for its backward pass.
func (t *Trainer) together(m *Metrics, rows []int, micros [][]int, all whole, grads []*engine.Gradients) (carried map[string]float64, err error) {
	in := measured{groups: pick(t.rows.Examples, rows)}
	K, at := len(in.groups[0].Completions), places(rows, micros)
	if in.reference, err = t.referenceOfAll(in.groups, t.refs.Train, rows, at); err == nil {
		in.drift, err = t.drift(in.groups)
	}
	if err != nil {
		return nil, err
	}
	var out losses
	run := func(e *engine.Engine, logps [][]float64) (err error) {
		in.policy = slices.Concat(logps...)
		out, err = t.lossOf(e, in, rows, all)
		return err
	}
	if len(micros) > 1 {
		logps, err := scoreAll(t.policyLanes(t.policy.weights), in.groups, at)
		if err == nil {
			err = run(t.engines[0], logps)
		}
		if err != nil {
			return nil, err
		}
	}
	err = t.backward(micros, grads, func(e *engine.Engine, pass *engine.Pass, i int) ([]float64, error) {
		if len(micros) == 1 {
			logps := make([][]float64, len(rows))
			spread(pass.LogProbs, at[0], logps)
			if err := run(e, logps); err != nil {
				return nil, err
			}
		}
		var dlogps []float64
		for _, g := range at[i] {
			dlogps = append(dlogps, out.dlogps[g*K:(g+1)*K]...)
		}
		return dlogps, nil
	})
	if err != nil {
		return nil, err
	}
	m.add(in.groups, out, float64(all.total))
	return out.carried, nil
}

// lossOf is the loss of rows of the training data, which must be finite.
func (t *Trainer) lossOf(e *engine.Engine, in measured, rows []int, all whole) (losses, error) {
	out, err := t.method.loss(e, in, t.state.Loss, all)
	if err == nil && (!allFinite([]float64{out.loss}) || !allFinite(out.policy)) {
		err = t.diverged(fmt.Sprintf("the loss is %v", out.losses), rows)
	}
	return out, err
}

// backward adds up the gradients of micro-batches, each lane those of every so many-th. slope gives that of the step's loss by the
// log-probabilities of micro-batch i, which has run forward.
func (t *Trainer) backward(micros [][]int, grads []*engine.Gradients, slope func(e *engine.Engine, pass *engine.Pass, i int) ([]float64, error)) error {
	return sideBySide(t.engines, len(grads), func(e *engine.Engine, lane int) (err error) {
		grads[lane].Clear()
		for i := lane; i < len(micros) && err == nil; i += len(grads) {
			err = t.backwardOne(e, micros[i], grads[lane], func(pass *engine.Pass) ([]float64, error) { return slope(e, pass, i) })
		}
		return err
	})
}

func (t *Trainer) backwardOne(e *engine.Engine, rows []int, grads *engine.Gradients, slope func(*engine.Pass) ([]float64, error)) error {
	pass, err := e.Forward(t.policy.weights, t.policy.batch(pick(t.rows.Examples, rows)))
	if err != nil {
		return err
	}
	defer pass.Close()
	dlogps, err := slope(pass)
	if err != nil {
		return err
	}
	err = pass.Backward(grads, t.scaled(dlogps))
	if errors.Is(err, engine.ErrNotFinite) {
		t.spoiled = true
		return t.diverged(err.Error(), rows)
	}
	return err
}

// places says where the rows of each micro-batch stand in their step.
func places(rows []int, micros [][]int) [][]int {
	at, out := map[int]int{}, make([][]int, len(micros))
	for i, row := range rows {
		at[row] = i
	}
	for i, micro := range micros {
		for _, row := range micro {
			out[i] = append(out[i], at[row])
		}
	}
	return out
}

// scoreAll scores groups in micro-batches, given by the groups' places, and gives the log-probabilities of each group's completions.
func scoreAll(lanes []referenceLane, groups []datasets.Example, micros [][]int) ([][]float64, error) {
	logps := make([][]float64, len(groups))
	err := sideBySide(lanes, len(micros), func(score referenceLane, i int) error {
		of, err := score(pick(groups, micros[i]))
		if err == nil {
			spread(of, micros[i], logps)
		}
		return err
	})
	return logps, err
}

// spread cuts what was measured of a micro-batch into its groups.
func spread(logps []float64, places []int, into [][]float64) {
	K := len(logps) / len(places)
	for i, g := range places {
		into[g] = logps[i*K : (i+1)*K]
	}
}
