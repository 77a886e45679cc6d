// Package loss holds the losses, as graphs from log-probs of whole completions to a number per group. A group is a prompt
// with K completions, the best first. With the implicit rewards
//
//	r = β (log π(y|x) − log π_ref(y|x))                       (arXiv 2305.18290, Section 4)
//
// a loss's graph has, for G groups,
//
//	inputs   policy_logps, reference_logps, lengths [G,K]   sums of log-probs over a completion's scored tokens, how many they are
//	         wins [G,K], rivals [G,Q,K], choices [G,Q]      who was preferred to whom, and the choices' shares: see [Choices];
//	                                                        a group with fewer than Q has choices of share 0
//	         margin, weight [G]                             by how much the first should win; the group's share of loss
//	         scalars such as beta, of rank 0
//	outputs  loss [1]                                             Σ weight · losses over the groups
//	         losses [G]                                           of each group
//	         rewards [G,K]                                        but for a loss of completions alone
//
// of which it has only those inputs that it uses. The gradient is not part of it: whoever trains differentiates the graph.
//
// Of a pair, h = r₁/β − r₂/β is how much further the policy has moved to the first completion than to the second. Some losses
// are functions of h, or of log-probs of another kind; their rewards are those above all the same.
//
// Each loss is one file that cites its paper and registers itself. Graphs consist of operators that ONNX Runtime has in
// float64, and never exponentiate a positive number.
package loss

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Loss is a function of a group's log-probs.
type Loss struct {
	Name    string
	Says    string   // the formula, in a line of plain text, for who chooses
	Paper   string   // where it comes from
	Scalars []Scalar // its settings, graph inputs of rank 0
	Pairs   bool     // defined for two completions only
	Alone   bool     // of each completion by itself: it compares none, and has no reference
	Divided bool     // takes choices that votes or ties divide among completions

	// losses gives the loss of each group, [G].
	losses func(f formula, in inputs) *onnx.Value
}

// Scalar is a setting of a loss.
type Scalar struct {
	Name    string
	Default float64
}

var (
	beta           = Scalar{"beta", 0.1}
	labelSmoothing = Scalar{"label_smoothing", 0}
)

// inputs are what a loss is a function of.
type inputs struct {
	policy                 *onnx.Value // [G,K]: log π(y|x)
	ratios                 *onnx.Value // [G,K]: log π(y|x) − log π_ref(y|x)
	rewards, lengths, wins *onnx.Value // [G,K]
	rivals                 *onnx.Value // [G,Q,K]
	choices                *onnx.Value // [G,Q]
	margin                 *onnx.Value // [G]
	scalars                map[string]*onnx.Value
}

var registry = map[string]*Loss{}

// register adds a loss. Each file calls it from init.
func register(l Loss) {
	if _, twice := registry[l.Name]; twice {
		panic("two losses named " + l.Name)
	}
	registry[l.Name] = &l
}

// Names lists the losses, sorted.
func Names() []string { return slices.Sorted(maps.Keys(registry)) }

// Comparing lists the losses of preferences: those that compare completions.
func Comparing() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return registry[name].Alone })
}

// Lookup finds a loss by name.
func Lookup(name string) (*Loss, error) {
	if l, ok := registry[name]; ok {
		return l, nil
	}
	return nil, fmt.Errorf("unknown loss %q: %s are known", name, strings.Join(Names(), ", "))
}

// Check reports whether the loss is defined for groups of k completions.
func (l *Loss) Check(k int) error {
	switch {
	case l.Alone && k > 0:
		return nil
	case k < 2:
		return fmt.Errorf("loss %s compares completions, there are %d", l.Name, k)
	case l.Pairs && k != 2:
		return fmt.Errorf("loss %s compares two completions, there are %d: plackett_luce takes a ranking", l.Name, k)
	}
	return nil
}

// CheckChoices reports whether the loss takes choices that may be divided.
func (l *Loss) CheckChoices(c Choices) error {
	if l.Divided || !c.Divided() {
		return nil
	}
	return fmt.Errorf("its answers are tied, or its votes divided, which loss %s does not take: give --loss sigmoid or plackett_luce, or leave such rows out", l.Name)
}

// Taking lists the losses that have a setting, sorted.
func Taking(scalar string) []string {
	return slices.DeleteFunc(Names(), func(name string) bool {
		return !slices.ContainsFunc(registry[name].Scalars, func(s Scalar) bool { return s.Name == scalar })
	})
}

// Graph makes the loss's graph in element type t.
func Graph(l *Loss, t onnx.DType) (*onnx.Graph, error) {
	groups, completions, choices := onnx.Sym("G"), onnx.Sym("K"), onnx.Sym("Q")
	if l.Pairs {
		completions = onnx.Const(2)
	}
	return onnx.Build("loss", func(b *onnx.Builder) {
		f := formula{b, t}
		policy := b.Input("policy_logps", t, groups, completions)
		reference := b.Input("reference_logps", t, groups, completions)
		in := inputs{lengths: b.Input("lengths", t, groups, completions), wins: b.Input("wins", t, groups, completions),
			rivals: b.Input("rivals", t, groups, choices, completions), choices: b.Input("choices", t, groups, choices),
			margin: b.Input("margin", t, groups), scalars: map[string]*onnx.Value{}}
		weight := b.Input("weight", t, groups)
		for _, s := range append([]Scalar{beta}, l.Scalars...) {
			if in.scalars[s.Name] == nil {
				in.scalars[s.Name] = b.Input(s.Name, t)
			}
		}
		in.policy = policy
		if !l.Alone {
			in.ratios = f.sub(policy, reference)
			in.rewards = f.mul(in.scalars["beta"], in.ratios)
		}
		losses := l.losses(f, in)
		b.Output("loss", f.Op("ReduceSum", []*onnx.Value{f.mul(weight, losses), f.Ints(0)}, onnx.Attrs{"keepdims": 1}))
		b.Output("losses", losses)
		if !l.Alone {
			b.Output("rewards", in.rewards)
		}
		dropUnused(b.Graph())
	})
}

// dropUnused removes the inputs that no node reads.
func dropUnused(g *onnx.Graph) {
	g.Inputs = slices.DeleteFunc(g.Inputs, func(in *onnx.Value) bool {
		return !slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return slices.Contains(n.Inputs, in) })
	})
}

// formula is a builder whose methods read as what they compute. Numbers are constants of type t.
type formula struct {
	*onnx.Builder
	t onnx.DType
}

func (f formula) add(x, y *onnx.Value) *onnx.Value { return f.Op("Add", []*onnx.Value{x, y}, nil) }
func (f formula) sub(x, y *onnx.Value) *onnx.Value { return f.Op("Sub", []*onnx.Value{x, y}, nil) }
func (f formula) mul(x, y *onnx.Value) *onnx.Value { return f.Op("Mul", []*onnx.Value{x, y}, nil) }
func (f formula) div(x, y *onnx.Value) *onnx.Value { return f.Op("Div", []*onnx.Value{x, y}, nil) }
func (f formula) neg(x *onnx.Value) *onnx.Value    { return f.Op("Neg", []*onnx.Value{x}, nil) }

// sum adds up over the completions: [G,K] → [G].
func (f formula) sum(x *onnx.Value) *onnx.Value {
	return f.Op("ReduceSum", []*onnx.Value{x, f.Ints(1)}, onnx.Attrs{"keepdims": 0})
}

// lead is how far the first of two is ahead of the second: [G,2] → [G].
func (f formula) lead(x *onnx.Value) *onnx.Value {
	signs, err := onnx.FloatTensor(f.t, []float64{1, -1})
	if err != nil {
		f.Fail("%w", err)
	}
	return f.sum(f.mul(x, f.Constant(signs)))
}

// row makes [G,K] into [G,1,K].
func (f formula) row(x *onnx.Value) *onnx.Value {
	return f.Op("Unsqueeze", []*onnx.Value{x, f.Ints(1)}, nil)
}
