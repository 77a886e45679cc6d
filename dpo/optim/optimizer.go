// Package optim holds the optimizers, as graphs that update a slice of all parameters in place, and the schedules of the
// learning rate.
//
// Parameters, gradients and states are flat vectors; an optimizer's graph takes slices of them, so that a slice and all that
// is made of it stay in the cache:
//
//	inputs   p, g, and the optimizer's states (zeros at first), all [n]
//	         scale, weight_decay and the optimizer's own scalars, all [1], from [Optimizer.Scalars]
//	outputs  next.p and next.<state>, [n], each in the memory of the input it replaces: [Optimizer.Aliases]
//
// scale is the factor that clips the gradient. What depends on the step alone, such as bias corrections, is computed outside
// in float64. Each optimizer is one file, does what the class of that name in torch.optim does with its defaults, and
// registers itself.
package optim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Optimizer is an update rule.
type Optimizer struct {
	Name    string
	States  []string          // names of the states, each as large as the parameters
	Aliases map[string]string // output → the input whose memory it takes

	// update gives the next parameters and states, in the order p, then States.
	update func(f formula, in map[string]*onnx.Value) []*onnx.Value
	// own gives the optimizer's own scalars; update gets inputs of these names.
	own func(s Step) map[string]float64
}

// Step is one update.
type Step struct {
	Index       int     // from 0
	Rate        float64 // learning rate
	Scale       float64 // factor of the gradient
	WeightDecay float64
}

var optimizers = map[string]*Optimizer{}

// register adds an optimizer. Each file calls it from init.
func register(o Optimizer) {
	if _, twice := optimizers[o.Name]; twice {
		panic("two optimizers named " + o.Name)
	}
	o.Aliases = map[string]string{}
	for _, name := range o.inPlace() {
		o.Aliases["next."+name] = name
	}
	optimizers[o.Name] = &o
}

// inPlace lists the inputs that are overwritten.
func (o *Optimizer) inPlace() []string { return append([]string{"p"}, o.States...) }

// Names lists the optimizers, sorted.
func Names() []string { return slices.Sorted(maps.Keys(optimizers)) }

// Lookup finds an optimizer by name.
func Lookup(name string) (*Optimizer, error) {
	if o, ok := optimizers[name]; ok {
		return o, nil
	}
	return nil, fmt.Errorf("unknown optimizer %q: %s are known", name, strings.Join(Names(), ", "))
}

// Scalars gives the values of the graph's inputs of one element.
func (o *Optimizer) Scalars(s Step) map[string]float64 {
	out := o.own(s)
	out["scale"], out["weight_decay"] = s.Scale, s.WeightDecay
	return out
}

// Graph makes the update's graph, in element type t.
func (o *Optimizer) Graph(t onnx.DType) (*onnx.Graph, error) {
	return onnx.Build("optimizer", func(b *onnx.Builder) {
		in := map[string]*onnx.Value{}
		for _, name := range append([]string{"p", "g"}, o.States...) {
			in[name] = b.Input(name, t, onnx.Sym("n"))
		}
		for _, name := range slices.Sorted(maps.Keys(o.Scalars(Step{}))) {
			in[name] = b.Input(name, t, onnx.Const(1))
		}
		next := o.update(formula{b, t}, in)
		for i, name := range o.inPlace() {
			b.Output("next."+name, next[i])
		}
	})
}

// Norm makes the graph from g [n], in element type t, to the sum of its squares: sum [1], float64 in any case. It is added up in type
// exact: in float64 neither the number of parameters nor the order of addition shows in it; float32 spares a GPU two passes over memory.
func Norm(t, exact onnx.DType) (*onnx.Graph, error) {
	return onnx.Build("norm", func(b *onnx.Builder) {
		cast := func(v *onnx.Value, t onnx.DType) *onnx.Value {
			if v.Type == t {
				return v
			}
			return b.Op("Cast", []*onnx.Value{v}, onnx.Attrs{"to": int64(t)})
		}
		g := cast(b.Input("g", t, onnx.Sym("n")), exact)
		b.Output("sum", cast(b.Op("ReduceSumSquare", []*onnx.Value{g, b.Ints(0)}, onnx.Attrs{"keepdims": 1}), onnx.Float64))
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
func (f formula) sqrt(x *onnx.Value) *onnx.Value   { return f.Op("Sqrt", []*onnx.Value{x}, nil) }

func (f formula) times(c float64, x *onnx.Value) *onnx.Value { return f.mul(x, f.Scalar(f.t, c)) }
