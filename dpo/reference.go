package dpo

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// references are the reference's log-probabilities: one slice a row, of one a completion; nil where not needed.
type references struct {
	Digest string      `json:"digest"` // of the reference's weights and the rows' token ids
	Train  [][]float64 `json:"train"`
	Eval   [][]float64 `json:"eval"`
}

// loadReferences reads what store wrote; nil where there is nothing, or it belongs to other data or another reference.
func loadReferences(path, digest string) (*references, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read reference log-probabilities: %w", err)
	}
	r := &references{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read reference log-probabilities %s: %w (remove the file to have them computed again)", path, err)
	}
	if r.Digest != digest {
		return nil, nil
	}
	return r, nil
}

func (r *references) store(path string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("store reference log-probabilities: %w", err)
	}
	return safefile.Write(path, text)
}

// reference computes every log-probability that the run will need and that is not known, and reports each micro-batch.
// Rows are scored in the micro-batches in which training first meets them: where policy and reference share graphs, the
// loss starts at exactly log 2.
func (t *Trainer) reference() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		batches := t.referenceBatches()
		lanes, done, err := t.referenceLanes(len(batches))
		if err != nil {
			yield(Event{}, err)
			return
		}
		i := 0
		for s, err := range inLanes(lanes, batches, referenceLane.score) {
			if err = cmp.Or(err, s.keep(t.known)); err != nil {
				yield(Event{}, errors.Join(err, done()))
				return
			}
			if i++; !yield(Event{Phase: "reference", Done: i, Total: len(batches)}, nil) {
				_ = done() // nobody listens
				return
			}
		}
		if err = done(); t.stream == nil {
			err = errors.Join(err, t.known.store(t.path(referenceFile)))
		}
		t.refs = t.known
		if err != nil {
			yield(Event{}, err)
		}
	}
}

// referenceBatch is a micro-batch to be scored: rows of the training or the held-out data.
type referenceBatch struct {
	examples []datasets.Example
	rows     []int
	eval     bool
}

// referenceBatches lists what is scored before the first step. An epoch has each row once.
func (t *Trainer) referenceBatches() []referenceBatch {
	var out []referenceBatch
	if t.stream == nil {
		for step := range min(t.total, t.order.stepsPerEpoch()) {
			out = append(out, t.unknown(step, t.known)...)
		}
	}
	for _, rows := range t.evalBatches() {
		if slices.ContainsFunc(rows, func(row int) bool { return t.known.Eval[row] == nil }) {
			out = append(out, referenceBatch{t.eval.Examples, rows, true})
		}
	}
	return out
}

// unknown lists the micro-batches of a step that hold rows whose reference is not known.
func (t *Trainer) unknown(step int, refs *references) []referenceBatch {
	var out []referenceBatch
	for _, rows := range t.microBatches(step) {
		if slices.ContainsFunc(rows, func(row int) bool { return refs.Train[row] == nil }) {
			out = append(out, referenceBatch{t.rows.Examples, rows, false})
		}
	}
	return out
}

// referenceLane computes the reference's log-probabilities of groups of one K.
type referenceLane func([]datasets.Example) ([]float64, error)

// referenceLanes gives one or several: the policy before its first step, run as it is in training, or a model of its own:
// after that step too. done releases it. Where there is nothing to score no model is opened.
func (t *Trainer) referenceLanes(batches int) (lanes []referenceLane, done func() error, err error) {
	if batches == 0 || t.Ref == "" && t.state.Step == 0 {
		for _, e := range t.engines {
			lanes = append(lanes, func(groups []datasets.Example) ([]float64, error) { return t.logps(e, t.policy.weights, groups) })
		}
		return lanes, func() error { return nil }, nil
	}
	ref, err := openFrozen(cmp.Or(t.Ref, t.Model), t.compute, t.options)
	if err != nil {
		return nil, nil, err
	}
	return []referenceLane{ref.logps}, ref.close, nil
}

// logps scores groups with the graphs that training runs, so that equal weights give equal bits.
func (t *Trainer) logps(e *engine.Engine, weights *engine.Weights, groups []datasets.Example) ([]float64, error) {
	pass, err := e.Rehearse(weights, t.policy.batch(groups))
	if err != nil {
		return nil, err
	}
	return pass.LogProbs, nil
}

// scoredBatch is a micro-batch with its log-probabilities, or why there are none.
type scoredBatch struct {
	referenceBatch
	logps []float64
	err   error
}

func (score referenceLane) score(b referenceBatch) scoredBatch {
	logps, err := score(pick(b.examples, b.rows))
	return scoredBatch{b, logps, err}
}

// keep keeps what was not known.
func (b scoredBatch) keep(refs *references) error {
	if b.err != nil {
		return fmt.Errorf("reference log-probabilities: %w", b.err)
	}
	into := refs.Train
	if b.eval {
		into = refs.Eval
	}
	K := len(b.logps) / len(b.rows)
	for i, row := range b.rows {
		if of := b.logps[i*K : (i+1)*K]; into[row] == nil {
			if !allFinite(of) {
				x := b.examples[row]
				return fmt.Errorf("reference log-probabilities of row %d of %s are %v: look at the row and at the model's weights", x.Row, x.File, of)
			}
			into[row] = of
		}
	}
	return nil
}

func pick[T any](all []T, rows []int) []T {
	out := make([]T, len(rows))
	for i, row := range rows {
		out[i] = all[row]
	}
	return out
}

func allFinite(values []float64) bool {
	for _, v := range values {
		if v-v != 0 {
			return false
		}
	}
	return true
}
