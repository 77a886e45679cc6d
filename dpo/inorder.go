package dpo

import (
	"iter"
	"sync"
)

// inOrder yields what work makes of each item, in their order, with n workers; ahead is how many items wait, or are done and
// not taken yet, for each of them. At most (ahead + 1)·n + 2 items are in flight, however long one of them takes. An error of
// the items is yielded in its place. Once the loop is left no worker runs any more.
func inOrder[A, B any](items iter.Seq2[A, error], n, ahead int, work func(A) B) iter.Seq2[B, error] {
	return func(yield func(B, error) bool) {
		p := &pipeline[A, B]{
			queue: make(chan *turn[A, B], (ahead+1)*n), waiting: make(chan *turn[A, B], ahead*n), stop: make(chan struct{}),
		}
		p.running.Go(func() { p.feed(items) })
		for range n {
			p.running.Go(func() { p.serve(work) })
		}
		defer p.running.Wait()
		defer close(p.stop)
		for j := range p.queue {
			<-j.done
			if !yield(j.out, j.err) {
				return
			}
		}
	}
}

// turn is one item; done is closed once out or err is there.
type turn[A, B any] struct {
	in   A
	out  B
	err  error
	done chan struct{}
}

// pipeline is an inOrder at work: queue has the turns in the order of their items, waiting has them for whichever worker is free.
type pipeline[A, B any] struct {
	queue, waiting chan *turn[A, B]
	stop           chan struct{}
	running        sync.WaitGroup
}

// feed makes turns of the items until they end or the loop is left.
func (p *pipeline[A, B]) feed(items iter.Seq2[A, error]) {
	defer close(p.queue)
	defer close(p.waiting)
	for in, err := range items {
		j := &turn[A, B]{in: in, err: err, done: make(chan struct{})}
		select {
		case p.queue <- j:
		case <-p.stop:
			return
		}
		if err != nil {
			close(j.done)
			continue
		}
		select {
		case p.waiting <- j:
		case <-p.stop:
			return
		}
	}
}

// serve does turns; after the loop is left those that wait are let go.
func (p *pipeline[A, B]) serve(work func(A) B) {
	for j := range p.waiting {
		select {
		case <-p.stop:
			return
		default:
		}
		j.out = work(j.in)
		close(j.done)
	}
}
