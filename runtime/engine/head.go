package engine

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// The head runs over pieces of the vocabulary, all scored tokens at once: logits [R,B] fit the cache, and a piece's
// gradient is written once. Pieces of tokens instead, with the whole vocabulary, took twice as long, most of it where the
// gradient's product walks down columns of 200 kB steps.
const (
	pieceLogits = 4 << 20   // logits of a piece
	keptLogits  = 256 << 20 // bytes of all logits up to which they are kept for the backward pass
)

// piece is a part of the vocabulary: rows first to last of the head's weight.
type piece struct {
	first, last int64
	lse         []float64 // [R]: log-sum-exp of the piece's logits
	residuals   map[string]*block
}

// cutVocabulary makes the pieces for R scored tokens.
func (e *Engine) cutVocabulary(scored int64) []piece {
	const step = 64 // columns, so that pieces of a matrix begin at a cache line
	size := int64(e.opts.HeadColumns)
	if size <= 0 {
		size = max(pieceLogits/scored/step, 4) * step
	}
	var out []piece
	for first, n := int64(0), e.art.Dims["vocab"]; first < n; first += size {
		out = append(out, piece{first: first, last: min(first+size, n)})
	}
	return out
}

// headRung keeps logits where that takes little memory.
func (e *Engine) headRung(scored int64) artifact.Rung {
	if e.opts.Rung == artifact.Recompute || scored*e.art.Dims["vocab"]*int64(onnx.Float32.Size()) > keptLogits {
		return artifact.Recompute
	}
	return artifact.Stash
}

// score runs the head and adds up each sequence's log-probability: log p = logit − log Σ exp(lse).
func (p *Pass) score(keep bool) error {
	e, head, graph := p.engine, p.head(), p.head().Graph
	if keep {
		graph = e.headRung(p.scored()).Forward(graph)
	}
	logits := make([]float64, p.scored())
	pieces := e.cutVocabulary(p.scored())
	for i := range pieces {
		piece := &pieces[i]
		out, err := p.piece(graph, *piece, nil, nil, nil)
		if err != nil {
			return fmt.Errorf("stage %s: %w", head.Name, err)
		}
		var part []float64
		piece.lse, err = out["lse"].floats()
		if err == nil {
			part, err = out["logit"].floats()
		}
		e.pool.release(out["lse"], out["logit"])
		delete(out, "lse")
		delete(out, "logit")
		piece.residuals = out
		p.pieces = append(p.pieces, *piece)
		if err != nil {
			return err
		}
		for r, x := range part {
			logits[r] += x
		}
	}
	p.TokenLogProbs, p.LogProbs = make([]float64, len(logits)), make([]float64, p.batch.Sizes["N"])
	for r, logit := range logits {
		p.TokenLogProbs[r] = logit - p.logSumExp(r)
		p.LogProbs[p.batch.Sequence[r]] += p.batch.weight(r) * p.TokenLogProbs[r]
	}
	return nil
}

// head is the last stage.
func (p *Pass) head() artifact.Stage { return p.engine.art.Stages[len(p.engine.art.Stages)-1] }

// scored is R.
func (p *Pass) scored() int64 { return p.batch.Sizes["R"] }

// logSumExp joins a token's pieces.
func (p *Pass) logSumExp(r int) float64 {
	most, sum := math.Inf(-1), 0.0
	for _, of := range p.pieces {
		most = math.Max(most, of.lse[r])
	}
	for _, of := range p.pieces {
		sum += math.Exp(of.lse[r] - most)
	}
	return most + math.Log(sum)
}

// piece runs one of the head's graphs over a piece of the vocabulary. Arrays are further inputs, from further bindings;
// grads takes the gradient of the piece's weights.
func (p *Pass) piece(graph string, of piece, arrays map[string]Array, grads *Weights, from binding) (map[string]*block, error) {
	e := p.engine
	sizes := maps.Clone(p.batch.Sizes)
	sizes["B"] = of.last - of.first
	all, err := e.upload(p.targets(of, arrays))
	if err != nil {
		return nil, err
	}
	defer func() { e.pool.release(slices.Collect(maps.Values(all))...) }()
	bound, into := binding{"x": p.hidden.Tensor}, binding{}
	for input, param := range p.head().Params {
		if bound[input], err = p.weights.tensors[param.Tensor].Rows(of.first, of.last); err != nil {
			return nil, err
		}
		if grads == nil {
			continue
		}
		if into["d."+input], err = grads.tensors[param.Tensor].Rows(of.first, of.last); err != nil {
			return nil, err
		}
		bound["acc."+input] = into["d."+input]
	}
	if grads != nil {
		into["dx"] = from["acc.x"]
	}
	return e.run(graph, sizes, into, from, bound, tensors(all), tensors(of.residuals))
}

// targets adds, to arrays, where in a piece each scored token lies.
func (p *Pass) targets(of piece, arrays map[string]Array) map[string]Array {
	inside, places := make([]float64, p.scored()), make([]int64, p.scored())
	for r, target := range p.batch.Targets {
		if of.first <= target && target < of.last {
			inside[r], places[r] = 1, target-of.first
		}
	}
	all := maps.Clone(arrays)
	if all == nil {
		all = map[string]Array{}
	}
	all["targets"], all["inside"] = Int64s(places, p.scored()), Floats(p.exact(), inside, p.scored())
	return all
}

// exact is the type of log-probabilities in the head's graph.
func (p *Pass) exact() onnx.DType { return p.engine.art.Graphs[p.head().Graph].Input("inside").Type }

// scoreBackward runs the head backward and gives the gradient of its input [R,D]. Of a token's log-probability the
// derivative by its logit is 1, by a piece's log-sum-exp minus the piece's share of the probability.
func (p *Pass) scoreBackward(grads *Weights, dlogps []float64) (dx *block, err error) {
	e := p.engine
	graph := e.headRung(p.scored()).Backward(p.head().Graph)
	if dx, err = e.zeros(onnx.DType(p.hidden.DType), p.hidden.Shape...); err != nil {
		return nil, err
	}
	dlogit, dlse, total := make([]float64, p.scored()), make([]float64, p.scored()), make([]float64, p.scored())
	for r := range dlogit {
		dlogit[r], total[r] = p.batch.weight(r)*dlogps[p.batch.Sequence[r]], p.logSumExp(r)
	}
	for i, of := range p.pieces {
		for r := range dlse {
			dlse[r] = -dlogit[r] * math.Exp(of.lse[r]-total[r])
		}
		_, err := p.piece(graph, of, map[string]Array{"dlse": Floats(p.exact(), dlse, p.scored()), "dlogit": Floats(p.exact(), dlogit, p.scored())},
			grads, binding{"acc.x": dx.Tensor})
		if err != nil {
			return dx, fmt.Errorf("stage %s: %w", p.head().Name, err)
		}
		e.pool.release(slices.Collect(maps.Values(of.residuals))...)
		p.pieces[i].residuals = nil
	}
	e.pool.release(p.hidden)
	p.pieces, p.hidden = nil, nil
	return dx, nil
}
