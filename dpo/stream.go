package dpo

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// A run of a known number of steps in the order of the file needs its first steps·batch rows, one step's after the other's.
// It reads them as it goes, and none after them: while a step is taken the rows of the next are tokenized. What depends on the
// rows depends on those taken so far: a checkpoint's digest, what was dropped. A row's reference is computed when its step comes.
type stream struct {
	next  func() (encoded, error, bool)
	stop  func()
	ended bool  // the data has no further row
	err   error // what ended it

}

// streams tells whether rows are read while steps are taken. Pairs that are taken apart are read first.
func (t *Trainer) streams() bool { return t.Steps > 0 && t.NoShuffle && !t.loss.Unpaired }

func newStream(files []string, o datasets.Options, enc *datasets.Encoder, vocabulary int) *stream {
	s := &stream{}
	s.next, s.stop = iter.Pull2(encodeRows(files, o, enc, vocabulary))
	return s
}

// fill takes rows from the stream until those of a step, from 0, are there. After the last row the order knows their number.
func (t *Trainer) fill(step int) error {
	s := t.stream
	for !s.ended && s.err == nil && len(t.rows.Examples) < (step+1)*t.Batch {
		r, err, more := s.next()
		switch {
		case err != nil:
			s.err = err
		case more:
			s.err = t.take(r)
		case len(t.rows.Examples) == 0:
			s.err = t.rows.none(t.Data)
		default:
			s.ended, t.order.rows = true, len(t.rows.Examples)
		}
	}
	if s.ended || len(t.rows.Examples) >= (step+1)*t.Batch {
		return nil
	}
	return s.err
}

// take adds a row that the loss is defined for.
func (t *Trainer) take(r encoded) error {
	if r.drop == nil {
		one := []datasets.Example{r.example}
		if err := t.admit(one); err != nil {
			return err
		}
		r.example = one[0]
	}
	t.rows.add(r)
	return nil
}

// stepsRead counts the steps whose rows are there.
func (t *Trainer) stepsRead() int {
	if t.stream == nil || t.stream.ended {
		return t.total
	}
	return min(t.total, len(t.rows.Examples)/t.Batch)
}

// advance makes the next step possible: its rows, and what the reference says of them.
func (t *Trainer) advance() (referenceSeconds float64, err error) {
	if t.stream == nil {
		return 0, nil
	}
	if err := t.fill(t.state.Step); err != nil {
		return 0, err
	}
	if t.follower != nil {
		t.forget()
		return 0, nil
	}
	if err := t.recall(t.refs, t.rows.Examples); err != nil {
		return 0, err
	}
	start := time.Now()
	batches := t.unknown(t.state.Step, t.refs)
	for _, b := range batches {
		if err := t.openBeside(); err != nil {
			return 0, err
		}
		if err := t.beside.lanes[0].score(b).keep(t.refs, t.compute); err != nil {
			return 0, err
		}
	}
	if len(batches) > 0 {
		referenceSeconds = time.Since(start).Seconds()
		t.state.ReferenceSeconds += referenceSeconds
	}
	return referenceSeconds, nil
}

// openBeside opens a reference that stays beside the policy, once.
func (t *Trainer) openBeside() (err error) {
	switch {
	case t.beside != nil:
	case t.follower != nil:
		t.beside = &standing{t.policyLanes(t.follower), func() error { return nil }}
	default:
		if t.beside, err = t.standingReference(); err != nil {
			return fmt.Errorf("reference: %w", err)
		}
	}
	return nil
}

// cutShort keeps the state of a run whose next rows cannot be had.
func (t *Trainer) cutShort(err error) error {
	if t.state.Step == 0 {
		return err
	}
	path, saved := t.save()
	if saved != nil {
		return errors.Join(err, saved)
	}
	return fmt.Errorf("%w; the state after step %d of %d is saved as %s: mend the data and go on with --resume --out %s", err, t.state.Step, t.total, path, t.Out)
}

// dataDigest is of the rows that the steps so far were taken from, or of all where all were read first, and of the held-out data.
func (t *Trainer) dataDigest() string {
	if t.stream == nil {
		return t.digests.data
	}
	return (&Rows{Examples: t.seen()}).digest() + t.eval.digest()
}

// taken counts the rows of a stream that the steps so far were taken from.
func (t *Trainer) taken() int { return min(t.state.Step*t.Batch, len(t.rows.Examples)) }

// saveStream keeps, with a checkpoint, what is known of a stream's rows.
func (t *Trainer) saveStream() error {
	if t.stream == nil {
		return nil
	}
	if t.unreferenced() || t.follower != nil {
		return t.writeDropped()
	}
	refs := references{Digest: t.referenceDigest(t.state.Data), Train: t.refs.Train[:t.taken()], Eval: t.refs.Eval}
	return errors.Join(refs.store(t.path(referenceFile)), t.writeDropped())
}
