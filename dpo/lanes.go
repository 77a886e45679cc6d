package dpo

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/dpo-ort/dpo-ort/models"
)

// Threads that share an operator wait for each other at its end, the longer the shorter it is. So micro-batches of all but large
// models are computed side by side, each in a lane of its own: engines of one thread, over the same weights. Which
// rows make a micro-batch depends on the model, never on the number of lanes, and so do the bits.
const (
	laneModel  = 1 << 28 // parameters at most
	laneTokens = 1024    // padded tokens of a micro-batch, so that what is held does not grow with the lanes, up to four
	mostLanes  = 8
)

// lane is what computes one micro-batch at a time.
type lane struct {
	policy, ref *network // ref is nil where there is none to compute, or it is the policy
}

// openLanes opens the policy, and an engine for it as often as micro-batches are computed at once.
func (s *Scorer) openLanes() error {
	m, err := models.Open(s.Model)
	if err != nil {
		return err
	}
	if m.Scalar && s.Ref != "" {
		return errors.Join(Usage("%s is a reward model (%s), whose rewards are its own: leave out --ref", s.Model, m.Architecture), m.Close())
	}
	n := 1
	s.microTokens = mostTokens(s.options.Device)
	if m.Parameters() <= laneModel && s.options.Device.OnHost() {
		threads := cmp.Or(s.Threads, runtime.GOMAXPROCS(0))
		n, s.microTokens = min(threads, mostLanes), laneTokens
		s.options.Threads = threads / n
	}
	for range n {
		s.lanes = append(s.lanes, &lane{})
	}
	return s.open(m, func(l *lane) **network { return &l.policy })
}

// open opens in each lane an engine for a model, which is closed with the first, or where there can be none.
func (s *Scorer) open(m *models.Model, in func(*lane) **network) (err error) {
	first := in(s.lanes[0])
	if *first, err = networkOf(m, Export{Types: models.Types{Compute: s.precision}}, s.options); err != nil {
		return err
	}
	for _, l := range s.lanes[1:] {
		if *in(l), err = (*first).beside(s.options); err != nil {
			return err
		}
	}
	return nil
}

// openReference opens the reference in each lane, unless it is the policy too: equal weights are computed once.
func (s *Scorer) openReference() error {
	m, err := models.Open(s.Ref)
	if err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	own := true
	defer func() {
		if own {
			m.Close()
		}
	}()
	if m.Scalar {
		return fmt.Errorf("reference %s is a reward model (%s): it must be a language model", s.Ref, m.Architecture)
	}
	if m.Vocab != s.model().Vocab {
		return fmt.Errorf("reference %s has a vocabulary of %d, the model %s one of %d: they do not belong together", s.Ref, m.Vocab, s.Model, s.model().Vocab)
	}
	if s.digests.ref, err = weightsDigest(m); err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	if s.digests.model, err = weightsDigest(s.model()); err != nil || s.digests.model == s.digests.ref {
		return err
	}
	own = false
	if err := s.open(m, func(l *lane) **network { return &l.ref }); err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	return nil
}

// model is the policy.
func (s *Scorer) model() *models.Model { return s.lanes[0].policy.model }

// sideBySide does n things, each with whichever of the lanes is free; after an error none is begun.
func sideBySide[Lane any](lanes []Lane, n int, do func(l Lane, i int) error) error {
	var running sync.WaitGroup
	var next atomic.Int64
	var failed atomic.Bool
	errs := make([]error, n)
	for _, l := range lanes {
		running.Go(func() {
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[i] = do(l, i); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	running.Wait()
	return cmp.Or(errs...)
}

// inLanes yields what becomes of each item, in their order, each done with whichever of the lanes is free.
func inLanes[Lane, Item, Out any](lanes []Lane, items []Item, do func(Lane, Item) Out) iter.Seq2[Out, error] {
	const ahead = 1
	free := make(chan Lane, len(lanes))
	for _, l := range lanes {
		free <- l
	}
	all := func(yield func(Item, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
	return inOrder(all, len(lanes), ahead, func(item Item) Out {
		l := <-free
		defer func() { free <- l }()
		return do(l, item)
	})
}

func (l *lane) close() error {
	var errs []error
	for _, n := range []*network{l.policy, l.ref} {
		if n != nil {
			errs = append(errs, n.close())
		}
	}
	return errors.Join(errs...)
}
