package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// Offload says what lies in the host's memory though the engine runs on another device; "" is nothing.
type Offload string

// What can be offloaded, each with all that stands before it.
const (
	// OffloadStates: trained weights as they are updated, and the optimizer's states. Gradients come to the host slice by slice, the CPU
	// updates (as ZeRO-Offload, Ren et al. 2021, arXiv 2101.06840), and what stages are run with goes back.
	OffloadStates Offload = "states"
	// OffloadParameters: all weights. Those of a stage come to the device each time it runs.
	OffloadParameters Offload = "parameters"
)

// home is the device that weights lie on as they are updated, with the optimizer's states.
func (e *Engine) home() ort.Device {
	if e.opts.Offload != "" {
		return ort.Device{}
	}
	return e.opts.Device
}

// lodging is the device that weights lie on as stages are run with them.
func (e *Engine) lodging() ort.Device {
	if e.opts.Offload == OffloadParameters {
		return ort.Device{}
	}
	return e.opts.Device
}

// bind makes what stages are run with in the place of trained weights: copies in the type that the graphs take, on the device.
func (e *Engine) bind(w *Weights) (err error) {
	w.bound = map[string]*ort.Tensor{}
	if e.rounded != e.weights {
		if w.rounded, err = e.cleared(e.Parameters(), e.rounded, e.lodging()); err != nil {
			return err
		}
	}
	if e.home() != e.lodging() {
		if w.copies, err = e.cleared(e.unrounded(), e.weights, e.lodging()); err != nil {
			return err
		}
		maps.Copy(w.bound, w.copies.tensors)
	}
	for _, name := range w.Names {
		if e.dtype[name] != e.weights {
			w.bound[name] = w.rounded.tensors[name]
		}
	}
	return nil
}

// unrounded are the shapes of what is trained and comes to the stages as it is.
func (e *Engine) unrounded() map[string][]int64 {
	shapes := e.Parameters()
	maps.DeleteFunc(shapes, func(name string, _ []int64) bool { return e.dtype[name] != e.weights })
	return shapes
}

// at is what stages are run with of a tensor.
func (w *Weights) at(name string) *ort.Tensor {
	if t := w.bound[name]; t != nil {
		return t
	}
	return w.tensors[name]
}

// bring binds a stage's parameters by the names of its graph's inputs. What lies in the host's memory comes to the device, in blocks that
// are to be released after the Run.
func (e *Engine) bring(w *Weights, s artifact.Stage) (binding, []*block, error) {
	b := binding{}
	var lent []*block
	for input, p := range s.Params {
		t, block, err := e.toDevice(w.at(p.Tensor))
		if err != nil {
			e.pool.release(lent...)
			return nil, nil, fmt.Errorf("bring tensor %s to the device: %w", p.Tensor, err)
		}
		b[input], lent = t, append(lent, block)
	}
	return b, lent, nil
}

// toDevice copies a tensor of offloaded weights to the device, into a block; others are given as they are, without one.
func (e *Engine) toDevice(t *ort.Tensor) (*ort.Tensor, *block, error) {
	if e.opts.Offload != OffloadParameters {
		return t, nil, nil
	}
	b, err := e.pool.take(onnx.DType(t.DType), t.Shape...)
	if err != nil {
		return nil, nil, err
	}
	if err := b.CopyFromHost(t.Bytes()); err != nil {
		e.pool.release(b)
		return nil, nil, err
	}
	return b.Tensor, b, nil
}

// give copies weights that were updated to where stages are run with them as they are.
func (w *Weights) give(names ...string) error {
	if w.copies == nil {
		return nil
	}
	for _, name := range names {
		if to := w.copies.tensors[name]; to != nil {
			if err := to.CopyFromHost(w.tensors[name].Bytes()); err != nil {
				return fmt.Errorf("copy tensor %s to the device: %w", name, err)
			}
		}
	}
	return nil
}

// offSlice is how many parameters of offloaded weights come to the host, and back, at once.
const offSlice = 1 << 22

// staging is a worker's memory of the host for what lies on the device: a gradient, and weights that were rounded.
type staging struct{ gradient, rounded room }

// room is memory of the host, made anew where it is too small.
type room struct{ buffer *ort.Buffer }

// like is a tensor of the host of another's type and shape.
func (r *room) like(t *ort.Tensor) (_ *ort.Tensor, err error) {
	if r.buffer == nil || r.buffer.Len() < t.Len() {
		r.free()
		if r.buffer, err = (ort.Device{}).Alloc(t.Len()); err != nil {
			return nil, err
		}
	}
	return ort.NewTensor(r.buffer, 0, t.DType, t.Shape...)
}

func (r *room) free() {
	if r.buffer != nil {
		r.buffer.Free()
	}
	r.buffer = nil
}

// hostUpdates is what updates of offloaded weights take: temporaries, and each worker's staging.
func (e *Engine) hostUpdates() (int64, error) {
	c := &count{engine: e, scratch: map[string]int64{}}
	n, workers := c.updates(), int64(e.workers(e.home()))
	width := int64(e.weights.Size())
	if e.rounded != e.weights && !e.lodging().OnHost() {
		width += int64(e.rounded.Size())
	}
	var units []int64 // parameters of each
	flat := int64(0)
	for tensor, shape := range e.Parameters() {
		if e.update(tensor, shape).Graph == OptimizerGraph {
			flat += aligned(shape)
		} else {
			units = append(units, elements(shape))
		}
	}
	for ; flat > 0; flat -= offSlice {
		units = append(units, min(flat, offSlice))
	}
	slices.Sort(units)
	for _, parameters := range units[max(0, len(units)-int(workers)):] {
		n += parameters * width
	}
	if e.has(OptimizerGraph) {
		c.run(OptimizerGraph, map[string]int64{"n": fine.slice})
	}
	return n + workers*c.scratch[OptimizerGraph], c.err
}

// runOffloaded updates a unit whose weights and states lie with the host.
func (p *prepared) runOffloaded(u *unit, s *staging) error {
	own := *u
	own.bound = maps.Clone(u.bound)
	gradient, err := s.gradient.like(u.bound["g"])
	if err != nil {
		return err
	}
	if err := u.bound["g"].CopyToHost(gradient.Bytes()); err != nil {
		return err
	}
	own.bound["g"] = gradient
	rounded := u.bound[roundedOutput]
	if rounded == nil || rounded.Bytes() != nil {
		return p.runInCache(&own)
	}
	if own.bound[roundedOutput], err = s.rounded.like(rounded); err != nil {
		return err
	}
	if err := p.runInCache(&own); err != nil {
		return err
	}
	return rounded.CopyFromHost(own.bound[roundedOutput].Bytes())
}

// runInCache runs the graph over slices that fit the CPU's cache.
func (p *prepared) runInCache(u *unit) error {
	size := fine.slice
	if u.graph != OptimizerGraph || u.bound["p"].Shape[0] <= size {
		return p.run(u)
	}
	for first, n := int64(0), u.bound["p"].Shape[0]; first < n; first += size {
		slice := unit{graph: u.graph, decayed: u.decayed, bound: binding{}}
		for name, t := range u.bound {
			var err error
			if slice.bound[name], err = t.Flat(first, min(first+size, n)); err != nil {
				return err
			}
		}
		if err := p.run(&slice); err != nil {
			return err
		}
	}
	return nil
}
