package engine

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// The head runs over pieces of the vocabulary, all scored tokens at once: logits [R,B] fit the cache, and a piece's
// gradient is written once. Pieces of tokens instead, with the whole vocabulary, took twice as long, most of it where the
// gradient's product walks down columns of 200 kB steps. A piece is rows first to last of the head's weight.
type piece struct {
	first, last int64
	lse         []float64 // [R]: log-sum-exp of the piece's logits
	squares     []float64 // [R]: that of twice the logits; nil where the head does not give it
	residuals   map[string]*block
}

// rowsOfVocabulary is the symbol of a piece's size.
const rowsOfVocabulary = "B"

// Whole reports whether a parameter of the head's graph is no rows of the vocabulary, but the same for each piece.
func Whole(head *onnx.Graph, input string) bool {
	shape := head.Input(input).Shape
	return len(shape) == 0 || !shape[0].Equal(onnx.Sym(rowsOfVocabulary))
}

// rows are those of a head's parameter that belong to a piece.
func (p *Pass) rows(of piece, input string, t *ort.Tensor) (*ort.Tensor, error) {
	if head := p.engine.head(); p.engine.scores() || Whole(p.engine.art.Graphs[head.Graph], input) {
		return t, nil
	}
	return t.Rows(of.first, of.last)
}

// scores reports a head without log-sum-exp, whose logit is the result: a reward model's, of one row.
func (e *Engine) scores() bool { return e.art.Graphs[e.head().Graph].Output("lse") == nil }

// cutVocabulary makes the pieces for R scored tokens.
func (e *Engine) cutVocabulary(scored int64, p Plan) []piece {
	if e.scores() {
		return []piece{{first: 0, last: 1}}
	}
	const step = 64 // columns, so that pieces of a matrix begin at a cache line
	size := p.HeadColumns
	if size <= 0 {
		size = max(e.grain().logits/scored/step, 4) * step
	}
	var out []piece
	for first, n := int64(0), e.art.Dims["vocab"]; first < n; first += size {
		out = append(out, piece{first: first, last: min(first+size, n)})
	}
	return out
}

// headRung keeps logits where that takes little memory.
func (e *Engine) headRung(scored int64, p Plan) artifact.Rung {
	if p.RecomputeHead || !e.has(artifact.Stash.Backward(e.head().Graph)) || scored*e.art.Dims["vocab"]*int64(onnx.Float32.Size()) > e.grain().kept {
		return artifact.Recompute
	}
	return artifact.Stash
}

// score runs the head and adds up each sequence's log-probability: log p = logit − log Σ exp(lse). Where the head gives no lse the
// logit stands for it.
func (p *Pass) score(why purpose) error {
	e, head, graph := p.engine, p.engine.head(), p.engine.head().Graph
	if why != scoring {
		graph = e.headRung(p.scored(), p.plan).Forward(graph)
	}
	logits := make([]float64, p.scored())
	pieces := e.cutVocabulary(p.scored(), p.plan)
	for i := range pieces {
		piece := &pieces[i]
		out, err := p.piece(graph, *piece, nil, nil, nil)
		if err != nil {
			return fmt.Errorf("stage %s: %w", head.Name, err)
		}
		var part []float64
		part, err = out["logit"].floats()
		if err == nil && !e.scores() {
			piece.lse, err = out["lse"].floats()
		}
		if squares := out["squares"]; err == nil && squares != nil {
			piece.squares, err = squares.floats()
		}
		e.pool.release(out["lse"], out["logit"], out["squares"])
		for _, name := range []string{"lse", "logit", "squares"} {
			delete(out, name)
		}
		if why == training {
			piece.residuals = out
		} else {
			e.pool.release(slices.Collect(maps.Values(out))...)
		}
		p.pieces = append(p.pieces, *piece)
		if err != nil {
			return err
		}
		for r, x := range part {
			logits[r] += x
		}
	}
	if p.pieces[0].squares != nil {
		p.TokenLogSquares = make([]float64, len(logits))
		for r := range logits {
			p.TokenLogSquares[r] = p.join(func(of piece) float64 { return of.squares[r] }) - 2*p.logSumExp(r)
		}
	}
	p.TokenLogProbs, p.LogProbs = make([]float64, len(logits)), make([]float64, p.batch.Sizes["N"])
	for r, logit := range logits {
		p.TokenLogProbs[r] = logit - p.logSumExp(r)
		p.LogProbs[p.batch.Sequence[r]] += p.batch.weight(r) * p.TokenLogProbs[r]
	}
	return nil
}

// scored is R.
func (p *Pass) scored() int64 { return p.batch.Sizes["R"] }

// logSumExp joins a token's pieces; 0 where there is nothing to normalise.
func (p *Pass) logSumExp(r int) float64 {
	if p.engine.scores() {
		return 0
	}
	return p.join(func(of piece) float64 { return of.lse[r] })
}

// join is the log-sum-exp of all from those of the pieces.
func (p *Pass) join(lse func(piece) float64) float64 {
	most, sum := math.Inf(-1), 0.0
	for _, of := range p.pieces {
		most = math.Max(most, lse(of))
	}
	for _, of := range p.pieces {
		sum += math.Exp(lse(of) - most)
	}
	return most + math.Log(sum)
}

// piece runs one of the head's graphs over a piece of the vocabulary. Arrays are further inputs, and from are further
// bindings; into are the head's gradients by the names of its graph's inputs, of which the piece's rows are written.
func (p *Pass) piece(graph string, of piece, arrays map[string]Array, from, into binding) (map[string]*block, error) {
	e := p.engine
	sizes := maps.Clone(p.batch.Sizes)
	sizes["B"] = of.last - of.first
	all, err := e.upload(p.targets(of, arrays))
	if err != nil {
		return nil, err
	}
	defer func() { e.pool.release(slices.Collect(maps.Values(all))...) }()
	bound := binding{"x": p.hidden.Tensor}
	var lent []*block
	defer func() { e.pool.release(lent...) }()
	for input, param := range e.head().Params {
		t, err := p.rows(of, input, p.weights.at(param.Tensor))
		if err != nil {
			return nil, err
		}
		var b *block
		if bound[input], b, err = e.toDevice(t); err != nil {
			return nil, fmt.Errorf("bring tensor %s to the device: %w", param.Tensor, err)
		}
		lent = append(lent, b)
	}
	outputs, rows := binding{}, binding{}
	maps.Copy(bound, from)
	for name, t := range into {
		if name != "dx" {
			if t, err = p.rows(of, strings.TrimPrefix(name, "d."), t); err != nil {
				return nil, err
			}
			rows["acc."+strings.TrimPrefix(name, "d.")] = t
		}
		outputs[name] = t
	}
	return e.run(graph, sizes, outputs, bound, rows, tensors(all), tensors(of.residuals))
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
func (p *Pass) exact() onnx.DType {
	return p.engine.art.Graphs[p.engine.head().Graph].Output("logit").Type
}

// scoreBackward runs the head backward and gives the gradient of its input [R,D]. Of a token's log-probability the
// derivative by its logit is 1, by a piece's log-sum-exp minus the piece's share of the probability.
func (p *Pass) scoreBackward(grads *Gradients, dlogps []float64) (dx *block, err error) {
	e, last := p.engine, len(p.engine.art.Stages)-1
	graph, _, into, err := grads.accumulation(e, e.head(), e.headRung(p.scored(), p.plan).Backward(e.head().Graph))
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", e.head().Name, err)
	}
	if dx, err = e.zeros(onnx.DType(p.hidden.DType), p.hidden.Shape...); err != nil {
		return nil, err
	}
	into["dx"] = dx.Tensor
	dlogit, dlse, total := make([]float64, p.scored()), make([]float64, p.scored()), make([]float64, p.scored())
	for r := range dlogit {
		dlogit[r], total[r] = p.batch.weight(r)*dlogps[p.batch.Sequence[r]], p.logSumExp(r)
	}
	for i, of := range p.pieces {
		for r := range of.lse {
			dlse[r] = -dlogit[r] * math.Exp(of.lse[r]-total[r])
		}
		_, err := p.piece(graph, of, map[string]Array{"dlse": Floats(p.exact(), dlse, p.scored()), "dlogit": Floats(p.exact(), dlogit, p.scored())},
			binding{"acc.x": dx.Tensor}, into)
		if err != nil {
			return dx, fmt.Errorf("stage %s: %w", e.head().Name, err)
		}
		e.pool.release(slices.Collect(maps.Values(of.residuals))...)
		p.pieces[i].residuals = nil
	}
	e.pool.release(p.hidden)
	p.pieces, p.hidden = nil, nil
	return dx, grads.wrote(e, last)
}
