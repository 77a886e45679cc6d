package engine

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"sync/atomic"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// The graphs of the update. optimizer takes p, g, states, all [n], and scalars [1]; its outputs share memory with its
// inputs as the manifest's aliases say, but for roundedOutput. Others, that an Update names, take a parameter as a whole: p and g of its shape, and
// states over the symbols of that. norm takes g [n] and gives the sum of its squares, [1].
const (
	OptimizerGraph = "optimizer"
	NormGraph      = "norm"
)

// roundedOutput is what an update gives beside the next parameter: the same in the type that stages take it in.
const roundedOutput = "rounded.p"

// Update says how a parameter is updated. The zero Update is by OptimizerGraph, without weight decay.
type Update struct {
	Graph string // OptimizerGraph, or "", which runs over slices of what lies side by side; or one that takes the whole tensor
	Decay bool   // whether weight_decay is that of the scalars, or 0
}

// Updates tells it of each parameter, by its tensor's name and shape.
type Updates func(tensor string, shape []int64) Update

// Optimizer updates trainable weights in place, slice by slice or tensor by tensor, one a core at a time.
type Optimizer struct {
	States map[string]*Weights // by the graphs' input names; each of the parameters whose graph has it

	engine  *Engine
	weights *Weights
	grads   *Gradients
	stages  []staging // of each worker, where weights are offloaded
	units   []unit
	parts   []part
	sums    *ort.Buffer        // [parts]: what the norm's graph gave of each
	of      map[string]segment // where gradients are released: what belongs to a tensor
}

// unit is what one Run updates: a slice of the flat buffers, or a whole tensor.
type unit struct {
	graph   string
	bound   binding // p, g and states
	decayed bool
}

// part is a slice of the gradient whose squares are added up.
type part struct {
	elements int64
	g        *ort.Tensor // [elements]
	sum      *ort.Tensor // [1]: of its squares, on the device
	squares  float64     // the same, once it was read
}

// segment is the units and the parts of a tensor: the first, and the one after the last.
type segment struct{ units, parts [2]int }

// NewOptimizer prepares to update w by grads, with states of zeros. Where grads is nil, gradients are released: see
// Released.
func (e *Engine) NewOptimizer(w *Weights, grads *Gradients) (*Optimizer, error) {
	shapes, err := e.stateShapes(w.shapes())
	if err != nil {
		return nil, err
	}
	o := &Optimizer{States: map[string]*Weights{}, engine: e, weights: w, grads: grads, of: map[string]segment{}}
	if e.opts.Offload != "" {
		o.stages = make([]staging, e.workers(e.home()))
	}
	for name, of := range shapes {
		state, err := e.cleared(of, e.weights, e.home())
		if err != nil {
			return nil, errors.Join(err, o.Close())
		}
		o.States[name] = state
	}
	if err := errors.Join(o.cutAll(w), o.makeSums()); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// update is how a parameter is updated.
func (e *Engine) update(tensor string, shape []int64) Update {
	u := Update{Graph: OptimizerGraph, Decay: true}
	if e.opts.Updates != nil {
		u = e.opts.Updates(tensor, shape)
	}
	u.Graph = cmp.Or(u.Graph, OptimizerGraph)
	return u
}

// stateShapes are those of the states that parameters of these shapes have, by state and tensor.
func (e *Engine) stateShapes(of map[string][]int64) (map[string]map[string][]int64, error) {
	out := map[string]map[string][]int64{}
	for tensor, shape := range of {
		graph := e.update(tensor, shape).Graph
		g, ok := e.art.Graphs[graph]
		if !ok {
			return nil, fmt.Errorf("the artifact has no graph %s, by which %s is updated", graph, tensor)
		}
		sizes, err := symbolsOf(g, shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", tensor, err)
		}
		for _, in := range g.Inputs {
			if !isState(in) {
				continue
			}
			state := shape
			if graph != OptimizerGraph {
				if state, err = in.Shape.Eval(sizes); err != nil {
					return nil, fmt.Errorf("tensor %s: state %s: %w", tensor, in.Name, err)
				}
			}
			if out[in.Name] == nil {
				out[in.Name] = map[string][]int64{}
			}
			out[in.Name][tensor] = state
		}
	}
	return out, nil
}

// symbolsOf are the sizes of a graph's symbols where its parameter has this shape, or as many elements if it takes slices.
func symbolsOf(g *onnx.Graph, shape []int64) (map[string]int64, error) {
	dims := g.Input("p").Shape
	if len(dims) == 1 {
		shape = []int64{elements(shape)}
	}
	if len(dims) != len(shape) {
		return nil, fmt.Errorf("its shape is %v, graph %s takes %s", shape, g.Name, dims)
	}
	sizes := map[string]int64{}
	for i, d := range dims {
		sizes[d.String()] = shape[i]
	}
	return sizes, nil
}

// makeSums makes room for the parts' sums of squares.
func (o *Optimizer) makeSums() (err error) {
	const size = 8 // of a float64
	if o.sums, err = o.engine.opts.Device.Alloc(size * len(o.parts)); err != nil {
		return err
	}
	for i := range o.parts {
		if o.parts[i].sum, err = ort.NewTensor(o.sums, size*i, ort.Float64, 1); err != nil {
			return err
		}
	}
	return nil
}

// isState reports whether an input of an optimizer's graph is one of its states.
func isState(in *onnx.Value) bool { return in.Name != "p" && in.Name != "g" && !in.Shape[0].Is(1) }

// cutAll lays units and parts over the flat buffers. Tensors that lie side by side and are updated alike are cut as one; those that
// are updated as a whole, or whose gradients are released, each by itself.
func (o *Optimizer) cutAll(w *Weights) error {
	for i := 0; i < len(w.Names); {
		name := w.Names[i]
		u := o.engine.update(name, w.tensors[name].Shape)
		alone := o.grads == nil || u.Graph != OptimizerGraph
		next := i + 1
		for !alone && next < len(w.Names) && o.engine.update(w.Names[next], w.tensors[w.Names[next]].Shape) == u {
			next++
		}
		first, last := w.offsets[name], w.elements
		if next < len(w.Names) {
			last = w.offsets[w.Names[next]]
		}
		if alone {
			last = first + w.size(name)
		}
		begin := [2]int{len(o.units), len(o.parts)}
		if err := o.cut(w, name, u, first, last); err != nil {
			return err
		}
		o.of[name] = segment{[2]int{begin[0], len(o.units)}, [2]int{begin[1], len(o.parts)}}
		i = next
	}
	return nil
}

// cut lays units and parts over the elements from first to last, which begin with the tensor that is named.
func (o *Optimizer) cut(w *Weights, name string, u Update, first, last int64) (err error) {
	size := o.engine.slice()
	for at := first; at < last; at += size {
		p := part{elements: min(size, last-at)}
		if o.grads != nil {
			if p.g, err = o.grads.whole.span(at, at+p.elements); err != nil {
				return err
			}
		}
		o.parts = append(o.parts, p)
		if u.Graph == OptimizerGraph {
			if err := o.addSlice(w, name, u, at-first, p); err != nil {
				return err
			}
		}
	}
	if u.Graph == OptimizerGraph {
		return nil
	}
	return o.addWhole(w, name, u)
}

// addSlice adds the unit of a part, which begins so many elements behind the tensor's first.
func (o *Optimizer) addSlice(w *Weights, name string, u Update, at int64, p part) (err error) {
	s := unit{graph: u.Graph, bound: binding{}, decayed: u.Decay}
	of := updated(w)
	if p.g != nil {
		of["g"] = o.grads.whole
	}
	for state, weights := range o.States {
		if weights.tensors[name] != nil {
			of[state] = weights
		}
	}
	for input, weights := range of {
		from := weights.offsets[name] + at
		if s.bound[input], err = weights.span(from, from+p.elements); err != nil {
			return err
		}
	}
	o.units = append(o.units, s)
	return nil
}

// updated are the weights that an update writes, by the names that it binds them to.
func updated(w *Weights) map[string]*Weights {
	of := map[string]*Weights{"p": w}
	if w.rounded != nil {
		of[roundedOutput] = w.rounded
	}
	return of
}

// addWhole adds the unit of a tensor that is updated as a whole.
func (o *Optimizer) addWhole(w *Weights, name string, u Update) (err error) {
	s := unit{graph: u.Graph, bound: binding{}, decayed: u.Decay}
	of := updated(w)
	if o.grads != nil {
		of["g"] = o.grads.whole
	}
	for _, in := range o.engine.art.Graphs[u.Graph].Inputs {
		if isState(in) {
			of[in.Name] = o.States[in.Name]
		}
	}
	for input, weights := range of {
		if s.bound[input], err = weights.view(name); err != nil {
			return err
		}
	}
	o.units = append(o.units, s)
	return nil
}

// Norm is the Euclidean norm of the whole gradient. Sums of parts are added in their order, in float64.
func (o *Optimizer) Norm() (float64, error) {
	if o.grads != nil {
		if err := o.grads.settle(o.grads.Names()...); err != nil {
			return 0, err
		}
		if err := o.measure(o.parts); err != nil {
			return 0, err
		}
	}
	total := 0.0
	for _, p := range o.parts {
		total += p.squares
	}
	return math.Sqrt(total), nil
}

// measure sums the squares of parts of the gradient.
func (o *Optimizer) measure(of []part) error {
	device := o.engine.opts.Device
	session, err := o.engine.session(NormGraph, device, 1)
	if err != nil {
		return err
	}
	err = each(len(of), o.engine.workers(device), func(_, i int) error {
		return session.Run(binding{"g": of[i].g}, binding{"sum": of[i].sum})
	})
	if err != nil {
		return fmt.Errorf("run graph %s: %w", NormGraph, err)
	}
	for i := range of {
		if of[i].squares, err = scalar(of[i].sum); err != nil {
			return err
		}
	}
	return nil
}

// Step updates all parameters. Scalars are the graphs' inputs of one element by name; weight_decay is 0 for parameters whose
// Update says so.
func (o *Optimizer) Step(scalars map[string]float64) error {
	if err := o.update(scalars, o.units); err != nil {
		return err
	}
	return o.weights.give(o.weights.Names...)
}

func (o *Optimizer) update(scalars map[string]float64, of []unit) error {
	graphs := map[string]*prepared{}
	defer func() {
		for _, g := range graphs {
			g.decayed.close()
			g.plain.close()
		}
	}()
	for _, u := range of {
		if graphs[u.graph] != nil {
			continue
		}
		g, err := o.prepare(u.graph, scalars)
		if err != nil {
			return err
		}
		graphs[u.graph] = g
	}
	return each(len(of), o.engine.workers(o.engine.home()), func(worker, i int) (err error) {
		g := graphs[of[i].graph]
		if o.engine.opts.Offload != "" {
			err = g.runOffloaded(&of[i], &o.stages[worker])
		} else {
			err = g.run(&of[i])
		}
		if err != nil {
			return fmt.Errorf("run graph %s: %w", of[i].graph, err)
		}
		return nil
	})
}

// prepared is a graph of the update with the scalars of a step.
type prepared struct {
	*onnx.Graph
	session        *ort.Session // whose operators use one thread
	aliases        map[string]string
	decayed, plain binding
}

func (o *Optimizer) prepare(graph string, scalars map[string]float64) (p *prepared, err error) {
	e := o.engine
	p = &prepared{Graph: e.art.Graphs[graph], aliases: e.art.Aliases[graph]}
	if p.session, err = e.session(graph, e.home(), 1); err != nil {
		return nil, err
	}
	if p.decayed, err = e.scalars(scalars, p.Inputs); err != nil {
		return nil, err
	}
	without := maps.Clone(scalars)
	without["weight_decay"] = 0
	if p.plain, err = e.scalars(without, p.Inputs); err != nil {
		p.decayed.close()
		return nil, err
	}
	return p, nil
}

func (p *prepared) run(u *unit) error {
	inputs, outputs := binding{}, binding{}
	values := p.plain
	if u.decayed {
		values = p.decayed
	}
	for _, in := range p.Inputs {
		inputs[in.Name] = lookup(in.Name, []binding{u.bound, values})
	}
	for _, out := range p.Outputs {
		outputs[out.Name] = u.bound[cmp.Or(p.aliases[out.Name], out.Name)]
	}
	return p.session.Run(inputs, outputs)
}

// Released makes gradients for the backward pass of a step of one micro-batch: each parameter is updated as soon as its
// gradient is whole, and no more than that is in memory. Scalars are those of Step. Norm is known afterwards.
//
// A gradient that is not finite ends the pass, and parameters of later stages have changed by then.
func (o *Optimizer) Released(scalars map[string]float64) *Gradients {
	return &Gradients{written: map[string]bool{}, lent: map[string]*block{}, use: func(name string, g *ort.Tensor) error {
		of := o.of[name]
		units, parts := o.units[of.units[0]:of.units[1]], o.parts[of.parts[0]:of.parts[1]]
		first := int64(0)
		for i := range parts {
			var err error
			if parts[i].g, err = g.Flat(first, first+parts[i].elements); err != nil {
				return err
			}
			first += parts[i].elements
			if units[0].graph == OptimizerGraph {
				units[i].bound["g"] = parts[i].g
			}
		}
		if units[0].graph != OptimizerGraph {
			var err error
			if units[0].bound["g"], err = g.Rows(0, g.Shape[0]); err != nil {
				return err
			}
		}
		if err := o.measure(parts); err != nil {
			return err
		}
		for _, p := range parts {
			if p.squares-p.squares != 0 {
				return ErrNotFinite
			}
		}
		if err := o.update(scalars, units); err != nil {
			return err
		}
		return o.weights.give(name)
	}}
}

// ErrNotFinite ends a backward pass whose gradients are released.
var ErrNotFinite = errors.New("a gradient is NaN or infinite")

// each runs f for the numbers below n, one a worker at a time.
func each(n, workers int, f func(worker, i int) error) error {
	errs := make([]error, workers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[w] == nil; i = int(next.Add(1)) - 1 {
				errs[w] = f(w, i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close releases the states.
func (o *Optimizer) Close() error {
	for _, u := range o.units {
		u.bound.close()
	}
	for i := range o.stages {
		o.stages[i].gradient.free()
		o.stages[i].rounded.free()
	}
	o.units, o.parts = nil, nil
	if o.sums != nil {
		o.sums.Free()
	}
	var errs []error
	for _, s := range o.States {
		errs = append(errs, s.Close())
	}
	o.States = nil
	return errors.Join(errs...)
}

// scalars makes tensors of one element for those of the graph's values that are named, in their types.
func (e *Engine) scalars(values map[string]float64, of []*onnx.Value) (binding, error) {
	b := binding{}
	for _, v := range of {
		x, ok := values[v.Name]
		if !ok {
			continue
		}
		shape, err := v.Shape.Eval(nil)
		if err != nil {
			continue
		}
		data := Floats(v.Type, []float64{x}).Data
		t, err := ort.HostTensor(data, ort.DType(v.Type), shape...)
		if err != nil {
			b.close()
			return nil, fmt.Errorf("scalar %s: %w", v.Name, err)
		}
		b[v.Name] = t
	}
	return b, nil
}

// scalar reads a tensor of one element.
func scalar(t *ort.Tensor) (float64, error) {
	data := make([]byte, t.Len())
	if err := t.CopyToHost(data); err != nil {
		return 0, err
	}
	return Array{Type: onnx.DType(t.DType), Data: data}.Floats()[0], nil
}

func (b binding) close() {
	for _, t := range b {
		t.Close()
	}
}
