package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Pass is a micro-batch that has run forward and waits for its gradient.
type Pass struct {
	LogProbs      []float64 // [N]: the log-probability of each sequence's scored tokens
	TokenLogProbs []float64 // [R]: of each scored token

	// TokenLogSquares [R] is, where the head gives it, log Σ p² over the vocabulary in each scored token's place; else nil.
	TokenLogSquares []float64

	engine  *Engine
	plan    Plan
	weights *Weights
	batch   *Batch
	inputs  map[string]*block
	layers  []layer // one a stage but the head
	hidden  *block  // what the next stage reads; the head [R,D]
	pieces  []piece // of the head
}

// layer is what a stage keeps: its input and its residuals.
type layer struct {
	x         *block
	residuals map[string]*block
}

// Score runs a batch forward and keeps nothing: the pass holds log-probabilities only.
func (e *Engine) Score(w *Weights, b *Batch) (*Pass, error) { return e.closed(w, b, scoring) }

// Rehearse is Score by the graphs that Forward runs: equal weights give equal bits.
func (e *Engine) Rehearse(w *Weights, b *Batch) (*Pass, error) { return e.closed(w, b, rehearsing) }

// Forward runs a batch forward and keeps what Backward needs. The pass must be closed if Backward is not called.
func (e *Engine) Forward(w *Weights, b *Batch) (*Pass, error) { return e.forward(w, b, training) }

// purpose is what a forward pass is run for.
type purpose int

const (
	scoring    purpose = iota // by the graphs that keep nothing
	rehearsing                // by those of training, keeping nothing
	training
)

func (e *Engine) closed(w *Weights, b *Batch, why purpose) (*Pass, error) {
	p, err := e.forward(w, b, why)
	if err == nil {
		p.Close()
	}
	return p, err
}

func (e *Engine) forward(w *Weights, b *Batch, why purpose) (_ *Pass, err error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	p := &Pass{engine: e, plan: e.opts.Plan, weights: w, batch: b}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if p.inputs, err = e.upload(b.Inputs); err != nil {
		return nil, err
	}
	for i, s := range e.body() {
		rung := artifact.Recompute
		if why != scoring {
			rung = e.rung(i, p.plan)
		}
		out, err := e.runStage(s, e.forwardGraph(i, rung, b), w, b.Sizes, nil, flow(p.hidden), tensors(p.inputs))
		if err != nil {
			return nil, fmt.Errorf("stage %s: %w", s.Name, err)
		}
		x := p.hidden
		p.hidden = out["y"]
		delete(out, "y")
		if why == training {
			p.layers = append(p.layers, layer{x, out})
		} else {
			e.pool.release(x)
			e.pool.release(slices.Collect(maps.Values(out))...)
		}
	}
	return p, p.score(why)
}

// flow binds the residual stream, which the first stage has not.
func flow(x *block) binding {
	if x == nil {
		return nil
	}
	return binding{"x": x.Tensor}
}

// runStage runs one of a stage's graphs with its parameters.
func (e *Engine) runStage(s artifact.Stage, graph string, w *Weights, sizes map[string]int64, given binding, from ...binding) (map[string]*block, error) {
	params, lent, err := e.bring(w, s)
	if err != nil {
		return nil, err
	}
	defer e.pool.release(lent...)
	return e.run(graph, sizes, given, append(from, params)...)
}

// Backward adds the gradient of Σ dlogps[n]·logps[n] to grads and ends the pass.
func (p *Pass) Backward(grads *Gradients, dlogps []float64) error {
	defer p.Close()
	e := p.engine
	defer grads.drop(e)
	if int64(len(dlogps)) != p.batch.Sizes["N"] {
		return fmt.Errorf("backward: %d gradients for %d sequences", len(dlogps), p.batch.Sizes["N"])
	}
	dy, err := p.scoreBackward(grads, dlogps)
	if err != nil {
		return err
	}
	defer func() { e.pool.release(dy) }()
	for i, l := range slices.Backward(p.layers) {
		if i < e.lowest { // nothing before is trained
			break
		}
		s := e.art.Stages[i]
		graph, acc, into, err := grads.accumulation(e, s, e.rung(i, p.plan).Backward(e.variant(i, p.batch.Variant)))
		if err != nil {
			return fmt.Errorf("stage %s: %w", s.Name, err)
		}
		from := []binding{{"dy": dy.Tensor}, tensors(l.residuals)}
		if l.x != nil { // the embedding has none
			from = append(from, binding{"x": l.x.Tensor})
		}
		out, err := e.runStage(s, graph, p.weights, p.batch.Sizes, into, append(from, acc, tensors(p.inputs))...)
		if err != nil {
			return fmt.Errorf("stage %s: %w", s.Name, err)
		}
		e.pool.release(slices.Collect(maps.Values(l.residuals))...)
		e.pool.release(dy, l.x)
		dy, p.layers = out["dx"], p.layers[:i]
		if err := grads.wrote(e, i); err != nil {
			return fmt.Errorf("stage %s: %w", s.Name, err)
		}
	}
	return nil
}

// Close gives back all that the pass still holds.
func (p *Pass) Close() {
	pool := &p.engine.pool
	for _, l := range p.layers {
		pool.release(l.x)
		pool.release(slices.Collect(maps.Values(l.residuals))...)
	}
	for _, of := range p.pieces {
		pool.release(slices.Collect(maps.Values(of.residuals))...)
	}
	pool.release(p.hidden)
	pool.release(slices.Collect(maps.Values(p.inputs))...)
	p.layers, p.hidden, p.pieces, p.inputs = nil, nil, nil, nil
}

// zeros lends a cleared tensor.
func (e *Engine) zeros(t onnx.DType, shape ...int64) (*block, error) {
	b, err := e.pool.take(t, shape...)
	if err != nil {
		return nil, err
	}
	if err := b.buffer.Zero(); err != nil {
		e.pool.release(b)
		return nil, err
	}
	return b, nil
}

// floats copies a tensor to the host.
func (b *block) floats() ([]float64, error) {
	data := make([]byte, b.Len())
	if err := b.CopyToHost(data); err != nil {
		return nil, fmt.Errorf("copy a tensor to the host: %w", err)
	}
	return Array{Type: onnx.DType(b.DType), Data: data}.Floats(), nil
}
