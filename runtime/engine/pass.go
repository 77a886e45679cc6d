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

	engine  *Engine
	weights *Weights
	batch   *Batch
	inputs  map[string]*block
	layers  []layer  // one a stage but the head
	hidden  *block   // [T,D]: what the head reads
	lse     []*block // one a head chunk
}

// layer is what a stage keeps: its input and its residuals.
type layer struct {
	x         *block
	residuals map[string]*block
}

// Score runs a batch forward and keeps nothing: the pass holds log-probabilities only.
func (e *Engine) Score(w *Weights, b *Batch) (*Pass, error) {
	p, err := e.forward(w, b, false)
	if err == nil {
		p.Close()
	}
	return p, err
}

// Forward runs a batch forward and keeps what Backward needs. The pass must be closed if Backward is not called.
func (e *Engine) Forward(w *Weights, b *Batch) (*Pass, error) { return e.forward(w, b, true) }

func (e *Engine) forward(w *Weights, b *Batch, keep bool) (_ *Pass, err error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	p := &Pass{engine: e, weights: w, batch: b}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if p.inputs, err = e.upload(b.Inputs); err != nil {
		return nil, err
	}
	for _, s := range e.art.Stages[:len(e.art.Stages)-1] {
		graph := s.Graph
		if keep && p.hidden != nil {
			graph = e.opts.Rung.Forward(graph)
		}
		out, err := e.run(graph, b.Sizes, nil, p.flow(), w.bound(s), tensors(p.inputs))
		if err != nil {
			return nil, fmt.Errorf("stage %s: %w", s.Name, err)
		}
		if keep {
			p.layers = append(p.layers, layer{p.hidden, out})
		} else {
			e.pool.release(p.hidden)
		}
		p.hidden = out["y"]
		delete(out, "y")
	}
	return p, p.score(keep)
}

// flow binds the residual stream.
func (p *Pass) flow() binding {
	if p.hidden == nil {
		return nil
	}
	return binding{"x": p.hidden.Tensor}
}

// bound gives a stage's parameters by the names of its graph's inputs.
func (w *Weights) bound(s artifact.Stage) binding {
	b := binding{}
	for input, p := range s.Params {
		b[input] = w.tensors[p.Tensor]
	}
	return b
}

// accumulated binds the gradients of a stage's parameters as what to add to, and as where the sums go.
func (w *Weights) accumulated(s artifact.Stage) (in, out binding) {
	in, out = binding{}, binding{}
	for input, p := range s.Params {
		in["acc."+input], out["d."+input] = w.tensors[p.Tensor], w.tensors[p.Tensor]
	}
	return in, out
}

// chunks cuts the scored rows into the head's pieces.
func (p *Pass) chunks() [][2]int {
	var out [][2]int
	for first, n := 0, int(p.batch.Sizes["R"]); first < n; first += p.engine.opts.HeadRows {
		out = append(out, [2]int{first, min(first+p.engine.opts.HeadRows, n)})
	}
	return out
}

// chunk uploads the head's inputs for some rows, and gives the sizes that go with them.
func (p *Pass) chunk(rows [2]int) (map[string]*block, map[string]int64, error) {
	part := map[string]Array{}
	for _, name := range headInputs {
		part[name] = p.batch.Inputs[name].rows(rows[0], rows[1])
	}
	sizes := maps.Clone(p.batch.Sizes)
	sizes["R"] = int64(rows[1] - rows[0])
	in, err := p.engine.upload(part)
	return in, sizes, err
}

// score runs the head over chunks of rows, adding up each sequence's log-probability.
func (p *Pass) score(keep bool) error {
	e, head := p.engine, p.engine.art.Stages[len(p.engine.art.Stages)-1]
	sums, err := e.zeros(onnx.Float64, p.batch.Sizes["N"])
	if err != nil {
		return err
	}
	defer e.pool.release(sums)
	for _, rows := range p.chunks() {
		in, sizes, err := p.chunk(rows)
		if err != nil {
			return err
		}
		out, err := e.run(head.Graph, sizes, binding{"logps": sums.Tensor},
			binding{"x": p.hidden.Tensor, "acc.logps": sums.Tensor}, p.weights.bound(head), tensors(in))
		e.pool.release(slices.Collect(maps.Values(in))...)
		if err != nil {
			return fmt.Errorf("stage %s: %w", head.Name, err)
		}
		tokens, err := out["token_logps"].floats()
		e.pool.release(out["token_logps"])
		if err != nil {
			return err
		}
		p.TokenLogProbs = append(p.TokenLogProbs, tokens...)
		if keep {
			p.lse = append(p.lse, out["lse"])
		} else {
			e.pool.release(out["lse"])
		}
	}
	p.LogProbs, err = sums.floats()
	return err
}

// Backward adds the gradient of Σ dlogps[n]·logps[n] to grads and ends the pass.
func (p *Pass) Backward(grads *Weights, dlogps []float64) error {
	defer p.Close()
	e := p.engine
	if int64(len(dlogps)) != p.batch.Sizes["N"] {
		return fmt.Errorf("backward: %d gradients for %d sequences", len(dlogps), p.batch.Sizes["N"])
	}
	dy, err := p.scoreBackward(grads, dlogps)
	if err != nil {
		return err
	}
	defer func() { e.pool.release(dy) }()
	for i, l := range slices.Backward(p.layers) {
		s := e.art.Stages[i]
		graph := e.opts.Rung.Backward(s.Graph)
		if l.x == nil { // embed keeps nothing: its gradient needs only the ids
			graph = artifact.Recompute.Backward(s.Graph)
		}
		from := []binding{{"dy": dy.Tensor}, tensors(l.residuals)}
		if l.x != nil {
			from = append(from, binding{"x": l.x.Tensor})
		}
		acc, into := grads.accumulated(s)
		out, err := e.run(graph, p.batch.Sizes, into, append(from, p.weights.bound(s), acc, tensors(p.inputs))...)
		if err != nil {
			return fmt.Errorf("stage %s: %w", s.Name, err)
		}
		e.pool.release(slices.Collect(maps.Values(l.residuals))...)
		e.pool.release(dy, l.x)
		dy, p.layers = out["dx"], p.layers[:i]
	}
	return nil
}

// scoreBackward runs the head backward and gives the gradient of its input [T,D].
func (p *Pass) scoreBackward(grads *Weights, dlogps []float64) (dx *block, err error) {
	e, head := p.engine, p.engine.art.Stages[len(p.engine.art.Stages)-1]
	if dx, err = e.zeros(onnx.DType(p.hidden.DType), p.hidden.Shape...); err != nil {
		return nil, err
	}
	top, err := e.upload(map[string]Array{"dlogps": Floats(onnx.Float64, dlogps, int64(len(dlogps)))})
	if err != nil {
		return dx, err
	}
	defer e.pool.release(top["dlogps"])
	acc, into := grads.accumulated(head)
	acc["acc.x"], into["dx"] = dx.Tensor, dx.Tensor
	for i, rows := range p.chunks() {
		in, sizes, err := p.chunk(rows)
		if err != nil {
			return dx, err
		}
		_, err = e.run(artifact.Recompute.Backward(head.Graph), sizes, into,
			binding{"x": p.hidden.Tensor, "lse": p.lse[i].Tensor}, tensors(top), p.weights.bound(head), acc, tensors(in))
		e.pool.release(slices.Collect(maps.Values(in))...)
		if err != nil {
			return dx, fmt.Errorf("stage %s: %w", head.Name, err)
		}
	}
	e.pool.release(p.lse...)
	e.pool.release(p.hidden)
	p.lse, p.hidden = nil, nil
	return dx, nil
}

// Close gives back all that the pass still holds.
func (p *Pass) Close() {
	pool := &p.engine.pool
	for _, l := range p.layers {
		pool.release(l.x)
		pool.release(slices.Collect(maps.Values(l.residuals))...)
	}
	pool.release(p.hidden)
	pool.release(p.lse...)
	pool.release(slices.Collect(maps.Values(p.inputs))...)
	p.layers, p.hidden, p.lse, p.inputs = nil, nil, nil, nil
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
