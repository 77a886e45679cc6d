package dpo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"time"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// references are the reference's log-probabilities: one slice a row, of one a completion; nil where not needed.
type references struct {
	Digest string      `json:"digest"` // of the reference's weights and the rows' token ids
	Train  [][]float64 `json:"train"`
	Eval   [][]float64 `json:"eval"`
}

// loadReferences reads what was stored, which may be a part. Where there is nothing (nil), it is damaged, or of other data or another reference,
// all is computed again, to the same bits.
func (t *Trainer) loadReferences() (*references, error) {
	r := &references{}
	err := readSealed(t.path(referenceFile), r)
	switch {
	case errors.Is(err, errDamaged):
		t.warn("damaged-reference", err.Error(), "the reference's log-probabilities are computed again; look after the disk")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read reference log-probabilities: %w", err)
	case err == nil && r.Digest == t.referenceDigest(t.dataDigest()) && fit(r.Train, t.seen()) && fit(r.Eval, t.eval.Examples):
		return r, nil
	}
	return nil, nil
}

// referenceDigest tells what the reference says of rows, which have a digest, from what another one says, or this one by other weights of tokens.
func (t *Trainer) referenceDigest(data string) string {
	if t.LDAlpha == nil {
		return t.identity.Ref + data
	}
	return fmt.Sprintf("%s%s ld-alpha %v", t.identity.Ref, data, *t.LDAlpha)
}

// seen are the rows that a checkpoint has the reference of.
func (t *Trainer) seen() []datasets.Example {
	if t.stream == nil {
		return t.rows.Examples
	}
	return t.rows.Examples[:t.taken()]
}

// fit reports whether log-probabilities are those of rows, as far as they are known.
func fit(logps [][]float64, rows []datasets.Example) bool {
	if len(logps) != len(rows) {
		return false
	}
	for i, of := range logps {
		if of != nil && (len(of) != len(rows[i].Completions) || !allFinite(of)) {
			return false
		}
	}
	return true
}

func (r *references) store(path string) error { return writeSealed(path, r) }

// keepReferences is how often those that are computed are stored on the way.
const keepReferences = 30 * time.Second

// prepare computes the reference's log-probabilities unless they are known.
func (t *Trainer) prepare(ctx context.Context, yield func(Event) bool) error {
	if t.refs != nil {
		return nil
	}
	start := time.Now()
	for e, err := range t.reference() {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			if err := t.storeReferences(); err != nil {
				return err
			}
			return fmt.Errorf("%w before the first step, the reference of %d of %d micro-batches is kept; go on with --resume --out %s", ErrInterrupted, e.Done, e.Total, t.Out)
		case !yield(e):
			return errStopped
		}
	}
	t.state.ReferenceSeconds += time.Since(start).Seconds()
	return nil
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
		stored := time.Now()
		i := 0
		for s, err := range inLanes(lanes, batches, referenceLane.score) {
			if err = cmp.Or(err, s.keep(t.known, t.compute)); err != nil {
				yield(Event{}, errors.Join(err, done()))
				return
			}
			i++
			if time.Since(stored) > keepReferences {
				if err := t.storeReferences(); err != nil {
					yield(Event{}, errors.Join(err, done()))
					return
				}
				stored = time.Now()
			}
			if !yield(Event{Phase: "reference", Done: i, Total: len(batches)}, nil) {
				_ = done() // nobody listens
				return
			}
		}
		if err = done(); len(batches) > 0 {
			err = errors.Join(err, t.storeReferences())
		}
		t.refs = t.known
		if err != nil {
			yield(Event{}, err)
		}
	}
}

// storeReferences keeps what is known so far; of a stream's rows checkpoints do.
func (t *Trainer) storeReferences() error {
	if t.stream != nil {
		return nil
	}
	return t.known.store(t.path(referenceFile))
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
		return t.policyLanes(t.policy.weights), func() error { return nil }, nil
	}
	s, err := t.standingReference()
	if err != nil {
		return nil, nil, err
	}
	return s.lanes, s.close, nil
}

// standing is a reference that stays what it is while the policy moves.
type standing struct {
	lanes []referenceLane
	close func() error
}

func (t *Trainer) standingReference() (*standing, error) {
	if t.Ref == "" {
		weights, err := t.initialWeights()
		if err != nil {
			return nil, err
		}
		return &standing{t.policyLanes(weights), weights.Close}, nil
	}
	ref, err := openFrozen(t.Ref, t.compute, t.options)
	if err != nil {
		return nil, err
	}
	ref.tail = t.LDAlpha
	return &standing{[]referenceLane{ref.logps}, ref.close}, nil
}

// policyLanes run the policy's graphs with some weights.
func (t *Trainer) policyLanes(weights *engine.Weights) (lanes []referenceLane) {
	for _, e := range t.engines {
		lanes = append(lanes, func(groups []datasets.Example) ([]float64, error) { return t.logps(e, weights, groups) })
	}
	return lanes
}

// initialWeights are those that the run began with. Run by the policy's graphs they give the bits that the policy itself would give before
// its first step.
func (t *Trainer) initialWeights() (*engine.Weights, error) {
	open := t.policy.engine.Load
	if t.mappable() {
		open = t.policy.engine.Map
	}
	return open(t.policy.model)
}

// mappable reports whether the policy's graphs can run the model's weights as they lie in its file.
func (t *Trainer) mappable() bool {
	return (t.options.Device.OnHost() || t.options.Offload == engine.OffloadParameters) && t.policy.engine.Takes(t.policy.model)
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
func (b scoredBatch) keep(refs *references, compute onnx.DType) error {
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
				return fmt.Errorf("reference log-probabilities of row %d of %s are %v: look at the row and at the model's weights%s", x.Row, x.File, of, wider(compute))
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
