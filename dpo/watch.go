package dpo

import (
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// watcher looks at what a run yields and names the failures that it sees, each at most once. All that it judges by is a function of the
// settings, the data, the reference's log-probabilities and the metrics so far, so a run that was stopped and resumed
// ends with the same warnings, and no checkpoint keeps any.
type watcher struct {
	*Trainer
	course
	yield    func(Event) bool // nil: nobody listens
	stopped  bool             // the loop was left
	err      error            // why something could not be looked at
	weighed  bool             // the reference's log-probabilities were looked at
	noMargin *float64         // see atNoMargin
	warnings []datasets.Warning
}

// watch runs with a look at each step and evaluation, before the first, and after the last.
func (t *Trainer) watch(yield func(Event) bool, run func(show func(Event) bool) error) error {
	w := t.watcher
	if w == nil {
		w = &watcher{Trainer: t}
		t.watcher = w
		resumed := t.state.Step > 0
		if !resumed { // what is known beforehand was said when the run began
			w.yield = yield
		}
		w.surveyed(!t.streams())
		w.look()
		if resumed {
			w.recall(t.path(metricsName), t.state.MetricsBytes)
		}
	}
	if w.yield = yield; w.stopped {
		return errStopped
	}
	err := run(w.show)
	if err == nil {
		w.over = true
		w.surveyed(t.streams())
		w.look()
	}
	switch {
	case w.err != nil:
		return w.err
	case w.stopped:
		return errStopped
	}
	return err
}

// show passes an event on, and what it tells.
func (w *watcher) show(e Event) bool {
	if w.stopped = !w.yield(e); w.stopped {
		return false
	}
	switch {
	case e.Warning != nil: // of what was found when the run was resumed
		w.warnings = append(w.warnings, *e.Warning)
		return true
	case e.Metrics != nil:
		w.tookStep(*e.Metrics)
	case e.Evaluation != nil:
		w.tookEvaluation(*e.Evaluation)
	default:
		return true
	}
	w.look()
	return !w.stopped && w.err == nil
}

// look goes through the table.
func (w *watcher) look() {
	for _, d := range diagnoses {
		if w.stopped || w.err != nil {
			return
		}
		if w.said(d.name) {
			continue
		}
		if what, hint := d.look(w); what != "" && w.err == nil {
			w.warn("train", datasets.Warning{Name: d.name, What: what, Hint: hint})
		}
	}
}

// surveyed says what is wrong with the data, where all rows that the run takes are read by now.
func (w *watcher) surveyed(read bool) {
	if !read {
		return
	}
	for _, f := range w.survey().Warnings() {
		w.warn("data", f)
	}
}

func (w *watcher) said(name string) bool {
	for _, f := range w.warnings {
		if f.Name == name {
			return true
		}
	}
	return false
}

func (w *watcher) warn(phase string, f datasets.Warning) {
	if w.stopped || w.said(f.Name) {
		return
	}
	w.warnings = append(w.warnings, f)
	if w.yield != nil {
		w.stopped = !w.yield(Event{Phase: phase, Done: w.state.Step, Total: w.total, Warning: &f})
	}
}

// survey looks at the rows read so far as they are encoded.
func (t *Trainer) survey() *datasets.Survey {
	s := datasets.NewSurvey()
	s.MaxLength, s.First = t.MaxLength, t.On == onChosen
	for _, x := range t.rows.Examples {
		s.Add(t.unasked(x))
	}
	for _, d := range t.rows.Dropped {
		s.Drop(d.Reason)
	}
	for _, x := range t.eval.Examples {
		s.Hold(t.unasked(x))
	}
	return s
}

// unasked takes back what asked added for a reward model; where in it an answer began is lost.
func (t *Trainer) unasked(x datasets.Example) datasets.Example {
	if !t.aim().scalar {
		return x
	}
	completions := make([]datasets.Completion, len(x.Completions))
	for k, c := range x.Completions {
		completions[k] = datasets.Completion{IDs: c.IDs[:len(c.IDs)-1], Truncated: c.Truncated}
	}
	x.Completions = completions
	return x
}

// atNoMargin is the loss of the first step's groups where the policy is the reference, by the loss itself: log 2 of DPO's. Where the
// reference is not known yet zeros stand for its log-probabilities.
func (w *watcher) atNoMargin() float64 {
	if w.noMargin != nil {
		return *w.noMargin
	}
	sum, all := 0.0, w.whole(pick(w.rows.Examples, w.order.step(0)))
	for _, rows := range w.lossBatches(w.order.step(0), w.microBatches(0)) {
		groups := pick(w.rows.Examples, rows)
		var equal [][]float64
		for i, x := range groups {
			if row := rows[i]; w.refs != nil && row < len(w.refs.Train) && w.refs.Train[row] != nil {
				equal = append(equal, w.refs.Train[row])
			} else {
				equal = append(equal, make([]float64, len(x.Completions)))
			}
		}
		out, err := w.method.loss(w.engines[0], measured{groups: groups, policy: slices.Concat(equal...), reference: equal, drift: make([]float64, len(groups))}, nil, all)
		if err != nil {
			w.err = fmt.Errorf("the loss at margin 0: %w", err)
		}
		sum += out.loss
	}
	w.noMargin = &sum
	return sum
}

// moved reports whether any weight is not what the run began with.
func (w *watcher) moved() bool {
	for _, name := range slices.Backward(w.policy.weights.Names) { // vectors come last, and are small
		differ, err := w.differs(name)
		if err != nil {
			w.err = fmt.Errorf("compare weights with those that the run began with: %w", err)
		}
		if differ || err != nil {
			return true
		}
	}
	return false
}

func (w *watcher) differs(name string) (bool, error) {
	before, err := w.policy.model.Tensor(name)
	if err != nil {
		return false, err
	}
	data, shape, err := w.policy.weights.Bytes(name)
	if err != nil {
		return false, err
	}
	was, is := make([]float32, len(data)/4), make([]float32, len(data)/4)
	if err := safetensors.Decode(before, was); err != nil {
		return false, err
	}
	err = safetensors.Decode(safetensors.Tensor{DType: "F32", Shape: shape, Data: data}, is)
	return !slices.Equal(was, is), err
}
