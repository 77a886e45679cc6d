package dpo

import (
	"cmp"
	"errors"
	"runtime"

	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// Training has lanes as scoring has, where a step has several micro-batches: by the memory plan each lane adds up the gradients
// of every so many-th micro-batch, and the lanes' sums are added in their order. How many threads there are, and so how many
// lanes are computed at once, changes no bit.

// lanesOf is how many lanes a model of so many parameters has: each holds gradients of its own.
func lanesOf(parameters int64) int {
	switch {
	case parameters <= 1<<22:
		return 8
	case parameters <= 1<<25:
		return 4
	case parameters <= laneModel:
		return 2
	}
	return 0
}

// lanesAtOnce is how many lanes are computed at once.
func (t *Trainer) lanesAtOnce(lanes int) int {
	return max(1, min(lanes, cmp.Or(t.Threads, runtime.GOMAXPROCS(0))))
}

// openLanes makes the engines that compute lanes, and the gradients of each. The one of a plan without lanes is the policy's.
func (t *Trainer) openLanes() error {
	n := max(t.memoryPlan.Lanes, 1)
	if n == 1 {
		t.engines = []*engine.Engine{t.policy.engine}
	}
	options := t.options
	options.Threads = cmp.Or(t.Threads, runtime.GOMAXPROCS(0)) / t.lanesAtOnce(n)
	for len(t.engines) < t.lanesAtOnce(n) {
		e, err := engine.New(t.policy.engine.Artifact(), options)
		if err != nil {
			return err
		}
		e.Use(t.memoryPlan.Passes)
		e.Limit(t.need)
		t.engines = append(t.engines, e)
	}
	for range n {
		if t.memoryPlan.Release {
			break
		}
		g, err := t.policy.engine.NewGradients()
		if err != nil {
			return err
		}
		t.grads = append(t.grads, g)
	}
	return nil
}

// sum is where the gradients of all lanes are added up; nil where they are released.
func (t *Trainer) sum() *engine.Gradients {
	if len(t.grads) == 0 {
		return nil
	}
	return t.grads[0]
}

// closeLanes releases what openLanes made.
func (t *Trainer) closeLanes() error {
	var errs []error
	for _, g := range t.grads {
		errs = append(errs, g.Close())
	}
	for _, e := range t.engines {
		if e != t.policy.engine {
			errs = append(errs, e.Close())
		}
	}
	return errors.Join(errs...)
}
