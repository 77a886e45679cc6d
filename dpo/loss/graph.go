package loss

import (
	"slices"

	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// inputs are what a loss is a function of. Ratios and rewards are divided by lengths where it is Averaged.
type inputs struct {
	policy                 *onnx.Value            // [G,K]: log π(y|x)
	reference              *onnx.Value            // [G,K]: log π_ref(y|x)
	ratios                 *onnx.Value            // [G,K]: log π(y|x) − log π_ref(y|x), or where it is Free log π(y|x); f′(π/π_ref) of another f-divergence
	rewards, lengths, wins *onnx.Value            // [G,K]; rewards are β·ratios
	rivals                 *onnx.Value            // [G,Q,K]
	choices                *onnx.Value            // [G,Q]
	margin                 *onnx.Value            // [G]
	meanTokens             *onnx.Value            // of rank 0
	label, drift           *onnx.Value            // [G]
	state, next            map[string]*onnx.Value // [1]: before the step, and after it
	scalars                map[string]*onnx.Value
}

// Graph makes the loss's graph in element type t.
func Graph(l *Loss, t onnx.DType) (*onnx.Graph, error) {
	if l.data != nil {
		return l.extended(t)
	}
	groups, completions, choices := onnx.Sym("G"), onnx.Sym("K"), onnx.Sym("Q")
	switch {
	case l.Pairs:
		completions = onnx.Const(2)
	case l.Unpaired:
		completions = onnx.Const(1)
	}
	return onnx.Build("loss", func(b *onnx.Builder) {
		f := formula{b, t}
		in := inputs{policy: b.Input("policy_logps", t, groups, completions), reference: b.Input("reference_logps", t, groups, completions),
			lengths: b.Input("lengths", t, groups, completions),
			wins:    b.Input("wins", t, groups, completions), rivals: b.Input("rivals", t, groups, choices, completions), choices: b.Input("choices", t, groups, choices),
			margin: b.Input("margin", t, groups), scalars: map[string]*onnx.Value{}}
		weight := b.Input("weight", t, groups)
		in.meanTokens = b.Input("mean_tokens", t)
		in.label, in.drift = b.Input("label", t, groups), b.Input("drift", t, groups)
		in.state, in.next = map[string]*onnx.Value{}, map[string]*onnx.Value{}
		for _, name := range l.State {
			in.state[name] = b.Input("state."+name, t, onnx.Const(1))
		}
		for _, s := range append([]settings.Setting{beta}, l.Settings...) {
			if in.scalars[s.Name] == nil {
				in.scalars[s.Name] = b.Input(s.Name, t)
			}
		}
		losses, rewards := l.of(f, in)
		b.Output("loss", f.Op("ReduceSum", []*onnx.Value{f.mul(weight, losses), f.Ints(0)}, onnx.Attrs{"keepdims": 1}))
		b.Output("losses", losses)
		if rewards != nil {
			b.Output("rewards", rewards)
		}
		for _, name := range l.State {
			b.Output("next."+name, in.next[name])
		}
		prune(b.Graph())
	})
}

// of gives the losses [G], and the rewards [G,K]: nil of a loss of completions alone.
func (l *Loss) of(f formula, in inputs) (losses, rewards *onnx.Value) {
	if l.parts != nil {
		return l.mixed(f, in)
	}
	ratios := in.policy
	if !l.Alone && !l.Free {
		ratios = f.sub(in.policy, in.reference)
	}
	if in.ratios = ratios; l.score != nil {
		in.ratios = l.score(f, in)
	}
	if l.Averaged {
		in.ratios = f.div(in.ratios, in.lengths)
	}
	in.rewards = f.mul(in.scalars["beta"], in.ratios)
	switch losses = l.losses(f, in); {
	case l.Alone:
		return losses, nil
	case !l.Free && in.ratios != ratios:
		return losses, f.mul(in.scalars["beta"], ratios)
	}
	return losses, in.rewards
}

// prune removes the nodes and the inputs that nothing reads.
func prune(g *onnx.Graph) {
	read := map[*onnx.Value]bool{}
	for _, out := range g.Outputs {
		read[out] = true
	}
	for _, n := range slices.Backward(g.Nodes) {
		if slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return read[v] }) {
			for _, v := range n.Inputs {
				read[v] = true
			}
		}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnx.Node) bool {
		return !slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return read[v] })
	})
	g.Inputs = slices.DeleteFunc(g.Inputs, func(in *onnx.Value) bool { return !read[in] })
}
