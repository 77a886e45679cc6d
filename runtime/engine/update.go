package engine

import (
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
// inputs as the manifest's aliases say. norm takes g and gives the sum of its squares, [1].
const (
	OptimizerGraph = "optimizer"
	NormGraph      = "norm"
)

// Optimizer updates trainable weights in place, slice by slice, one slice a core at a time.
type Optimizer struct {
	States map[string]*Weights // by the graph's input names

	engine *Engine
	grads  *Gradients
	slices []slice
	sums   *ort.Buffer       // [slices]: what the norm's graph gave of each
	of     map[string][2]int // where gradients are released: the first slice of a tensor, and the one after its last
}

// slice is a run of the flat buffers: tensors over its parameters, gradients and states.
type slice struct {
	bound   binding
	decayed bool
	sum     *ort.Tensor // [1]: of its gradient's squares, on the device
	squares float64     // the same, once it was read
}

// NewOptimizer prepares to update w by grads, with states of zeros. Where grads is nil, gradients are released: see
// Released.
func (e *Engine) NewOptimizer(w *Weights, grads *Gradients) (*Optimizer, error) {
	g, ok := e.art.Graphs[OptimizerGraph]
	if !ok {
		return nil, fmt.Errorf("the artifact has no graph %s", OptimizerGraph)
	}
	o := &Optimizer{States: map[string]*Weights{}, engine: e, grads: grads, of: map[string][2]int{}}
	all := map[string]*Weights{"p": w}
	if grads != nil {
		all["g"] = grads.whole
	}
	for _, in := range g.Inputs {
		if !isState(in) {
			continue
		}
		state, err := e.NewWeights()
		if err != nil {
			return nil, errors.Join(err, o.Close())
		}
		o.States[in.Name], all[in.Name] = state, state
	}
	if err := errors.Join(o.cutAll(all), o.makeSums()); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// makeSums makes room for the slices' sums of squares.
func (o *Optimizer) makeSums() (err error) {
	const size = 8 // of a float64
	if o.sums, err = o.engine.opts.Device.Alloc(size * len(o.slices)); err != nil {
		return err
	}
	for i := range o.slices {
		if o.slices[i].sum, err = ort.NewTensor(o.sums, size*i, ort.Float64, 1); err != nil {
			return err
		}
	}
	return nil
}

// isState reports whether an input of the optimizer's graph is one of its states.
func isState(in *onnx.Value) bool { return in.Name != "p" && in.Name != "g" && !in.Shape[0].Is(1) }

// cutAll lays tensors over the flat buffers; no slice holds both decayed and other parameters. Where gradients are
// released, none holds more than one tensor.
func (o *Optimizer) cutAll(all map[string]*Weights) error {
	w := all["p"]
	if o.grads != nil {
		return errors.Join(o.cut(all, 0, w.decayed), o.cut(all, w.decayed, w.elements))
	}
	for _, name := range w.Names {
		first := len(o.slices)
		if err := o.cut(all, w.offsets[name], w.offsets[name]+w.size(name)); err != nil {
			return err
		}
		o.of[name] = [2]int{first, len(o.slices)}
	}
	return nil
}

// cut lays tensors over the elements from first to last.
func (o *Optimizer) cut(all map[string]*Weights, first, last int64) error {
	size := o.engine.grain().slice
	for at := first; at < last; at += size {
		s := slice{bound: binding{}, decayed: first < all["p"].decayed}
		for name, weights := range all {
			t, err := weights.span(at, min(at+size, last))
			if err != nil {
				return err
			}
			s.bound[name] = t
		}
		o.slices = append(o.slices, s)
	}
	return nil
}

// span is a vector over elements first to last of the flat buffer.
func (w *Weights) span(first, last int64) (*ort.Tensor, error) {
	t := w.tensors[w.Names[0]].DType
	return ort.NewTensor(w.buffer, int(first)*t.Size(), t, last-first)
}

// Norm is the Euclidean norm of the whole gradient. Sums of slices are added in their order, in float64.
func (o *Optimizer) Norm() (float64, error) {
	if o.grads != nil {
		if err := o.grads.settle(o.grads.Names()...); err != nil {
			return 0, err
		}
		if err := o.measure(o.slices); err != nil {
			return 0, err
		}
	}
	total := 0.0
	for _, s := range o.slices {
		total += s.squares
	}
	return math.Sqrt(total), nil
}

// measure sums the squares of slices' gradients.
func (o *Optimizer) measure(of []slice) error {
	err := o.each(NormGraph, of, func(session *ort.Session, s *slice) error {
		return session.Run(binding{"g": s.bound["g"]}, binding{"sum": s.sum})
	})
	if err != nil {
		return err
	}
	for i := range of {
		if of[i].squares, err = scalar(of[i].sum); err != nil {
			return err
		}
	}
	return nil
}

// Step updates all parameters. Scalars are the graph's inputs of one element by name; weight_decay is 0 for vectors
// (norms and biases), as is the custom.
func (o *Optimizer) Step(scalars map[string]float64) error {
	return o.update(scalars, o.slices)
}

func (o *Optimizer) update(scalars map[string]float64, of []slice) error {
	g := o.engine.art.Graphs[OptimizerGraph]
	decayed, err := o.engine.scalars(scalars, g.Inputs)
	if err != nil {
		return err
	}
	defer decayed.close()
	without := maps.Clone(scalars)
	without["weight_decay"] = 0
	plain, err := o.engine.scalars(without, g.Inputs)
	if err != nil {
		return err
	}
	defer plain.close()
	aliases := o.engine.art.Aliases[OptimizerGraph]
	return o.each(OptimizerGraph, of, func(session *ort.Session, s *slice) error {
		inputs, outputs := binding{}, binding{}
		values := plain
		if s.decayed {
			values = decayed
		}
		for _, in := range g.Inputs {
			inputs[in.Name] = lookup(in.Name, []binding{s.bound, values})
		}
		for _, out := range g.Outputs {
			outputs[out.Name] = s.bound[aliases[out.Name]]
		}
		return session.Run(inputs, outputs)
	})
}

// Released makes gradients for the backward pass of a step of one micro-batch: each parameter is updated as soon as its
// gradient is whole, and no more than that is in memory. Scalars are those of Step. Norm is known afterwards.
//
// A gradient that is not finite ends the pass, and parameters of later stages have changed by then.
func (o *Optimizer) Released(scalars map[string]float64) *Gradients {
	return &Gradients{written: map[string]bool{}, lent: map[string]*block{}, use: func(name string, g *ort.Tensor) error {
		of, first := o.slices[o.of[name][0]:o.of[name][1]], int64(0)
		for _, s := range of {
			n := s.bound["p"].Shape[0]
			var err error
			if s.bound["g"], err = g.Flat(first, first+n); err != nil {
				return err
			}
			first += n
		}
		if err := o.measure(of); err != nil {
			return err
		}
		for _, s := range of {
			if s.squares-s.squares != 0 {
				return ErrNotFinite
			}
		}
		return o.update(scalars, of)
	}}
}

// ErrNotFinite ends a backward pass whose gradients are released.
var ErrNotFinite = errors.New("a gradient is NaN or infinite")

// each runs f for slices, one a core at a time, on a session whose operators use one thread.
func (o *Optimizer) each(graph string, of []slice, f func(session *ort.Session, s *slice) error) error {
	session, err := o.engine.session(graph, 1)
	if err != nil {
		return err
	}
	workers := o.engine.workers()
	errs := make([]error, workers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(of) && errs[w] == nil; i = int(next.Add(1)) - 1 {
				errs[w] = f(session, &of[i])
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("run graph %s: %w", graph, err)
	}
	return nil
}

// Close releases the states.
func (o *Optimizer) Close() error {
	for _, s := range o.slices {
		s.bound.close()
	}
	o.slices = nil
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
