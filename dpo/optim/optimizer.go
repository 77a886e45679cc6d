// Package optim holds the optimizers, as graphs that update parameters in place, and the schedules of the learning rate.
//
// An optimizer has a rule or several, each a graph; the first that takes a parameter updates it, and the last takes all that are left. The graph named "optimizer"
// runs over slices of flat vectors, in which parameters lie side by side, so that a slice and all that is made of it stay in
// the cache. Others take a parameter as a whole, as a matrix or a vector, and its states have shapes of their own:
//
//	inputs   p, g: [n] of a slice or a vector, [m,n] of a matrix
//	         the rule's states, zeros at first, over the symbols of p
//	         scale, weight_decay and the rule's own scalars, all [1], from [Optimizer.Scalars]
//	outputs  next.p and next.<state>, each in the memory of the input it replaces: [Rule.Aliases]
//	         rounded.p, where a model computes in a narrower type than it is trained in: next.p in that type
//
// scale is the factor that clips the gradient. What depends on the step alone, such as bias corrections, is computed outside
// in float64. Each optimizer is one file, which registers itself and says whose arithmetic it follows; its settings have the
// names and defaults of that class.
package optim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Kind is an optimizer with its settings still to be chosen.
type Kind struct {
	Name     string
	Source   string // the paper, and whose implementation the arithmetic is
	Settings []settings.Setting

	make func(v settings.Resolved) Optimizer
}

// Optimizer is an update rule for each parameter.
type Optimizer struct {
	Name  string
	Rules []*Rule

	// own gives the scalars of all rules.
	own func(s Step) map[string]float64
}

// Rule updates the parameters that it takes.
type Rule struct {
	Graph   string            // its name in an artifact; of a slice [Flat]
	States  []State           // beside the parameter
	Aliases map[string]string // output → the input whose memory it takes

	dims    []string               // of p; nil of a slice
	scalars []string               // its own, of those that the optimizer gives
	takes   func(p Parameter) bool // not asked of an optimizer's last rule
	// update gives the next parameter and states, in the order p, then States.
	update func(f formula, in map[string]*onnx.Value) []*onnx.Value
}

// State is what a rule keeps of a parameter between steps.
type State struct {
	Name string
	dims []string // symbols of the parameter's shape; nil: the whole of it
}

// Parameter is what a rule may ask of a parameter.
type Parameter struct {
	Shape  []int64
	Hidden bool // no embedding, and not read by the head
}

// Flat is the name of the graph over slices.
const Flat = "optimizer"

// Step is one update.
type Step struct {
	Index       int     // from 0
	Rate        float64 // learning rate
	Scale       float64 // factor of the gradient
	WeightDecay float64
}

var kinds = map[string]Kind{}

// register adds an optimizer. Each file calls it from init.
func register(k Kind) {
	if _, twice := kinds[k.Name]; twice {
		panic("two optimizers named " + k.Name)
	}
	kinds[k.Name] = k
}

// Names lists the optimizers, sorted.
func Names() []string { return slices.Sorted(maps.Keys(kinds)) }

// Lookup finds what there is to know of an optimizer.
func Lookup(name string) (Kind, error) {
	if k, ok := kinds[name]; ok {
		return k, nil
	}
	return Kind{}, fmt.Errorf("unknown optimizer %q: %s are known", name, strings.Join(Names(), ", "))
}

// New makes an optimizer with these settings; others have their defaults.
func New(name string, s settings.Values) (*Optimizer, error) {
	k, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	peers := settings.Peers(kinds, func(k Kind) []settings.Setting { return k.Settings })
	v, err := settings.Owner{Name: name, Settings: k.Settings, Peers: peers}.Resolve(s)
	if err != nil {
		return nil, err
	}
	o := k.make(v)
	o.Name = name
	for _, r := range o.Rules {
		r.complete()
	}
	return &o, nil
}

// complete names the rule's graph, after the matrices or vectors it takes, and its aliases.
func (r *Rule) complete() {
	if r.Graph == "" {
		r.Graph = Flat
	} else {
		r.Graph = Flat + "." + r.Graph
	}
	r.Aliases = map[string]string{}
	for _, name := range r.inPlace() {
		r.Aliases["next."+name] = name
	}
}

// inPlace lists the inputs that are overwritten.
func (r *Rule) inPlace() []string {
	names := []string{"p"}
	for _, s := range r.States {
		names = append(names, s.Name)
	}
	return names
}

// Rule is the one that updates a parameter: the first that takes it.
func (o *Optimizer) Rule(p Parameter) *Rule {
	for _, r := range o.Rules[:len(o.Rules)-1] {
		if r.takes(p) {
			return r
		}
	}
	return o.Rules[len(o.Rules)-1]
}

// Check refuses to train these parameters by an optimizer of matrices where none of them is a matrix that it takes.
func (o *Optimizer) Check(trained []Parameter) error {
	if len(o.Rules) == 1 {
		return nil
	}
	last := o.Rules[len(o.Rules)-1]
	if slices.ContainsFunc(trained, func(p Parameter) bool { return o.Rule(p) != last }) {
		return nil
	}
	return fmt.Errorf("optimizer %s is for matrices of hidden layers, and none is trained, of %d tensors: take adamw", o.Name, len(trained))
}

// Scalars gives the values of the graphs' inputs of one element.
func (o *Optimizer) Scalars(s Step) map[string]float64 {
	out := o.own(s)
	out["scale"], out["weight_decay"] = s.Scale, s.WeightDecay
	return out
}

// Build makes the rule's graph, in element type t, with rounded.p where rounded is another.
func (r *Rule) Build(t, rounded onnx.DType) (*onnx.Graph, error) {
	return onnx.Build("optimizer", func(b *onnx.Builder) {
		in, dims := map[string]*onnx.Value{}, symbols(r.dims)
		if r.dims == nil {
			dims = symbols([]string{"n"})
		}
		for _, name := range []string{"p", "g"} {
			in[name] = b.Input(name, t, dims...)
		}
		for _, s := range r.States {
			of := dims
			if s.dims != nil {
				of = symbols(s.dims)
			}
			in[s.Name] = b.Input(s.Name, t, of...)
		}
		for _, name := range slices.Sorted(slices.Values(append([]string{"scale", "weight_decay"}, r.scalars...))) {
			in[name] = b.Input(name, t, onnx.Const(1))
		}
		next := r.update(formula{b, t}, in)
		for i, name := range r.inPlace() {
			b.Output("next."+name, next[i])
		}
		if rounded != t {
			b.Output("rounded.p", b.Op("Cast", []*onnx.Value{next[0]}, onnx.Attrs{"to": int64(rounded)}))
		}
	})
}

func symbols(names []string) (dims []onnx.Dim) {
	for _, name := range names {
		dims = append(dims, onnx.Sym(name))
	}
	return dims
}

// likeP are states of the parameter's shape.
func likeP(names ...string) (states []State) {
	for _, name := range names {
		states = append(states, State{Name: name})
	}
	return states
}
