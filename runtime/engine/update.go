package engine

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// sliceElements is how many parameters one Run of the optimizer updates: they, their gradients and states fit the cache.
const sliceElements = 1 << 17

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
	slices []slice
}

// slice is a run of the flat buffers: tensors over its parameters, gradients and states.
type slice struct {
	bound   binding
	decayed bool
}

// NewOptimizer prepares to update w by grads, with states of zeros.
func (e *Engine) NewOptimizer(w, grads *Weights) (*Optimizer, error) {
	g, ok := e.art.Graphs[OptimizerGraph]
	if !ok {
		return nil, fmt.Errorf("the artifact has no graph %s", OptimizerGraph)
	}
	o := &Optimizer{States: map[string]*Weights{}, engine: e}
	all := map[string]*Weights{"p": w, "g": grads}
	for _, in := range g.Inputs {
		if all[in.Name] != nil || in.Shape[0].Is(1) {
			continue
		}
		state, err := e.NewWeights()
		if err != nil {
			return nil, errors.Join(err, o.Close())
		}
		o.States[in.Name], all[in.Name] = state, state
	}
	if err := o.cut(all); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// cut lays tensors over the slices; none holds both decayed and other parameters.
func (o *Optimizer) cut(all map[string]*Weights) error {
	w := all["p"]
	for first := int64(0); first < w.elements; {
		last := min(first+sliceElements, w.elements)
		if first < w.decayed {
			last = min(last, w.decayed)
		}
		s := slice{bound: binding{}, decayed: first < w.decayed}
		for name, weights := range all {
			t, err := weights.span(first, last)
			if err != nil {
				return err
			}
			s.bound[name] = t
		}
		o.slices = append(o.slices, s)
		first = last
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
	sums := make([]float64, len(o.slices))
	err := o.each(NormGraph, func(session *ort.Session, i int) error {
		out, err := o.engine.scalars(map[string]float64{"sum": 0}, o.engine.art.Graphs[NormGraph].Outputs)
		if err != nil {
			return err
		}
		defer out.close()
		if err := session.Run(binding{"g": o.slices[i].bound["g"]}, out); err != nil {
			return err
		}
		sums[i], err = scalar(out["sum"])
		return err
	})
	total := 0.0
	for _, s := range sums {
		total += s
	}
	return math.Sqrt(total), err
}

// Step updates all parameters. Scalars are the graph's inputs of one element by name; weight_decay is 0 for vectors
// (norms and biases), as is the custom.
func (o *Optimizer) Step(scalars map[string]float64) error {
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
	return o.each(OptimizerGraph, func(session *ort.Session, i int) error {
		s, inputs, outputs := o.slices[i], binding{}, binding{}
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

// each runs f for every slice, one a core at a time, on a session whose operators use one thread.
func (o *Optimizer) each(graph string, f func(s *ort.Session, i int) error) error {
	session, err := o.engine.session(graph, 1)
	if err != nil {
		return err
	}
	workers := o.engine.opts.Threads
	if workers <= 0 {
		workers = runtime.NumCPU()
	}
	errs := make([]error, workers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(o.slices) && errs[w] == nil; i = int(next.Add(1)) - 1 {
				errs[w] = f(session, i)
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
