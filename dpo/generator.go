package dpo

import (
	"context"
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// generator continues sequences, so many at once. Those that end make room for others.
type generator struct {
	*Sampler
	network *network
	prompts *engine.Cache // of prompts whose samples are about to begin
	cache   *engine.Cache // of the samples: those that go on have its first rows
}

const (
	promptTokens = 2048  // of prompts, padding included, that are computed at once
	cacheMemory  = "60%" // of the machine's, or of what is free on a GPU, that all caches may take
)

// run draws all samples of prompts.
func (g *generator) run(ctx context.Context, prompts []*prompt) (err error) {
	slices.SortStableFunc(prompts, func(a, b *prompt) int { return len(a.ids) - len(b.ids) })
	if err := g.makeRoom(prompts); err != nil {
		return err
	}
	q := &queue{generator: g, waiting: prompts}
	defer q.close()
	var active []*drawing
	for {
		for len(active) < g.Batch {
			d, err := q.next(int64(len(active)))
			if err != nil {
				return err
			}
			if d == nil {
				break
			}
			active = append(active, d)
		}
		switch {
		case len(active) == 0:
			return nil
		case ctx.Err() != nil:
			return ErrInterrupted
		}
		if err := g.step(active); err != nil {
			return err
		}
		if active, err = g.rest(active); err != nil {
			return err
		}
	}
}

// makeRoom has caches for the longest prompt and for what may follow the longest. They stay for windows to come.
func (g *generator) makeRoom(prompts []*prompt) error {
	longest, whole := 0, 0
	for _, p := range prompts {
		longest, whole = max(longest, len(p.ids)), max(whole, len(p.ids)+p.most)
	}
	lengths := []int64{int64(roundUp(longest, 1)), int64(roundUp(whole, 1))}
	need, err := g.network.engine.CacheBytes(models.Step, int64(g.Batch*len(g.generators)), lengths[0]+lengths[1])
	if err != nil {
		return err
	}
	if room := g.room(); room > 0 && need > room {
		return fmt.Errorf("continue %d sequences of up to %d tokens at once: their keys and values take %d MiB, and %s of the memory is %d MiB: lower batch or max-tokens",
			g.Batch, whole, need>>20, cacheMemory, room>>20)
	}
	for i, c := range []**engine.Cache{&g.prompts, &g.cache} {
		if *c != nil && (*c).Length >= lengths[i] {
			continue
		}
		if *c != nil {
			(*c).Close()
		}
		if *c, err = g.network.engine.NewCache(models.Step, int64(g.Batch), lengths[i]); err != nil {
			*c = nil
			return err
		}
	}
	return nil
}

// step draws a token of each.
func (g *generator) step(active []*drawing) error {
	next, err := g.network.engine.Decode(g.network.weights, g.cache, g.stepBatch(active))
	if err != nil {
		return err
	}
	defer next.Close()
	for i, d := range active {
		if err := g.take(d, next, i); err != nil {
			return err
		}
	}
	return nil
}

// rest are the drawings that go on: the last ones take the rows of those that ended.
func (g *generator) rest(active []*drawing) ([]*drawing, error) {
	for i := 0; i < len(active); {
		if active[i].Finish == "" {
			i++
			continue
		}
		last := len(active) - 1
		if active[last].Finish == "" {
			if err := g.cache.Copy(int64(i), g.cache, int64(last), int64(active[last].cached())); err != nil {
				return nil, err
			}
		}
		active[i] = active[last]
		active = active[:last]
	}
	return active, nil
}

// close releases the caches and the model.
func (g *generator) close() error {
	for _, c := range []*engine.Cache{g.prompts, g.cache} {
		if c != nil {
			c.Close()
		}
	}
	g.prompts, g.cache = nil, nil
	return g.network.close()
}

// queue begins drawings, prompt by prompt.
type queue struct {
	*generator
	waiting []*prompt    // shortest first
	ready   []*prompt    // computed: they have the first rows of the prompts' cache
	follows *engine.Next // each of ready
	at      int          // of ready: the prompt whose samples begin
	sample  int          // of it: the next
}

// next begins a drawing, of which the first token is drawn already, in a row of the cache. It is nil once there is none; those that end
// with their first token are passed over.
func (q *queue) next(row int64) (*drawing, error) {
	for {
		if q.at == len(q.ready) {
			if len(q.waiting) == 0 {
				return nil, nil
			}
			if err := q.compute(); err != nil {
				return nil, err
			}
		}
		at, p := q.at, q.ready[q.at]
		d := &drawing{prompt: p, number: q.sample, random: q.randomFor(p.row, q.sample)}
		if q.sample++; q.sample == q.Samples {
			q.at, q.sample = q.at+1, 0
		}
		if err := q.take(d, q.follows, at); err != nil {
			return nil, err
		}
		if d.Finish == "" {
			return d, q.cache.Copy(row, q.prompts, int64(at), int64(len(p.ids)))
		}
	}
}

// compute runs the prompts that come next: as many as there may be samples at once, of a bounded number of tokens.
func (q *queue) compute() (err error) {
	q.close()
	n := 1
	for n < min(len(q.waiting), q.Batch) && (n+1)*roundUp(len(q.waiting[n].ids), 1) <= promptTokens {
		n++
	}
	q.ready, q.waiting, q.at = q.waiting[:n], q.waiting[n:], 0
	q.follows, err = q.network.engine.Decode(q.network.weights, q.prompts, q.promptBatch(q.ready))
	return err
}

func (q *queue) close() {
	if q.follows != nil {
		q.follows.Close()
		q.follows = nil
	}
}
