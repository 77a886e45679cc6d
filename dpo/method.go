package dpo

import (
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// method is the loss and the optimizer of an artifact with their settings.
type method struct {
	optimizer *optim.Optimizer
	of        *loss.Loss
	ties      datasets.TiePolicy
	graph     *onnx.Graph
	scalars   map[string]float64
}

func newMethod(c Config, l *loss.Loss, a *artifact.Artifact) (*method, error) {
	o, err := optim.New(a.Optimizer, c.OptimizerSettings)
	if err != nil {
		return nil, err
	}
	scalars, err := l.Resolve(c.LossSettings)
	if err != nil {
		return nil, fmt.Errorf("loss-settings: %w", err)
	}
	scalars["beta"], scalars["label_smoothing"] = c.Beta, c.LabelSmoothing
	return &method{optimizer: o, of: l, ties: datasets.TiePolicy(c.Ties), graph: a.Graphs[lossGraph], scalars: scalars}, nil
}

// whole is what the loss of a micro-batch has to know of its step, or of all held-out data.
type whole struct {
	total      int     // what losses are divided by: groups, or of likelihood scored tokens
	meanTokens float64 // scored tokens of a group's first answer, in the mean over groups
}

// whole sums examples up. A likelihood's losses are divided by the number of all scored tokens, so that the loss is a token's.
func (t *Trainer) whole(examples []datasets.Example) (w whole) {
	first, all := 0, 0
	for _, x := range examples {
		first += scored(x, 0)
		for k := range x.Completions {
			all += scored(x, k)
		}
	}
	w = whole{len(examples), float64(first) / float64(len(examples))}
	if t.Objective == Likelihood {
		w.total = all
	}
	return w
}

// losses are a micro-batch's: the weighted sum, each group's [G]; the policy's log-probabilities, rewards (nil of a loss of completions alone)
// and the gradient [G,K].
type losses struct {
	loss                            float64
	losses, policy, rewards, dlogps []float64
	drift                           []float64          // [G], as in measured
	carried                         map[string]float64 // by name, to the next step; nil of a loss that carries nothing
}

// measured are groups of one K with what models say of them.
type measured struct {
	groups    []datasets.Example
	policy    []float64   // [G·K]
	reference [][]float64 // of each group's completions
	drift     []float64   // [G]: see Trainer.drift; nil where the loss does not ask for it
	trust     []float64   // [G]: see trustOf; nil for 1
}

// share is the factor of a group's weight.
func (m measured) share(g int) float64 {
	if m.trust == nil {
		return 1
	}
	return m.trust[g]
}

// labelOf is 1 of a desirable answer.
func labelOf(x datasets.Example) float64 { return asNumber(x.Label == datasets.Desirable) }

// loss runs the loss graph over groups, of which each weighs 1/all.total, with what it carries from the step before (nil before the first).
func (m *method) loss(e *engine.Engine, from measured, carried map[string]float64, all whole) (losses, error) {
	groups := from.groups
	G, K := len(groups), len(groups[0].Completions)
	choices := make([]loss.Choices, G)
	for g, x := range groups {
		var err error
		if choices[g], err = choicesOf(m.of, x, m.ties); err != nil {
			return losses{}, fmt.Errorf("row %d of %s: %w", x.Row, x.File, err)
		}
	}
	values := map[string][]float64{"policy_logps": from.policy, "reference_logps": slices.Concat(from.reference...), "mean_tokens": {all.meanTokens}, "drift": from.drift}
	for g, x := range groups {
		values["margin"] = append(values["margin"], x.Margin)
		values["label"] = append(values["label"], labelOf(x))
		values["weight"] = append(values["weight"], from.share(g)/float64(all.total))
		for k := range x.Completions {
			values["lengths"] = append(values["lengths"], float64(scored(x, k)))
		}
	}
	for _, name := range m.of.State {
		values["state."+name] = []float64{carried[name]}
	}
	for name, v := range m.scalars {
		values[name] = []float64{v}
	}
	sizes, inputs := map[string]int64{"G": int64(G), "K": int64(K), "Q": int64(addChoices(values, choices, K))}, map[string]engine.Array{}
	for _, in := range m.graph.Inputs {
		shape, err := in.Shape.Eval(sizes)
		if err != nil {
			return losses{}, fmt.Errorf("loss %s: input %s: %w", m.of.Name, in.Name, err)
		}
		inputs[in.Name] = engine.Floats(in.Type, values[in.Name], shape...)
	}
	out, err := e.Call(lossGraph, sizes, inputs)
	if err != nil {
		return losses{}, err
	}
	l := losses{drift: from.drift, loss: out["loss"][0], losses: out["losses"], policy: from.policy, rewards: out["rewards"], dlogps: out["dlogps"]}
	for _, name := range m.of.State {
		if l.carried == nil {
			l.carried = map[string]float64{}
		}
		l.carried[name] = out["next."+name][0]
	}
	return l, nil
}
