// Package engine runs artifacts: a model's stages forward and backward over micro-batches, and the optimizer over its
// parameters. It decides what is kept between the passes and when memory is freed; the arithmetic is in the graphs.
//
//	e, _ := engine.New(artifact, engine.Options{Threads: 2})
//	policy, _ := e.Load(source)             // trainable float32 weights on the device
//	pass, _ := e.Forward(policy, batch)     // pass.LogProbs [N]
//	grads, _ := e.NewGradients()
//	pass.Backward(grads, dlogps)            // adds to grads
//
// An Engine serves one goroutine at a time.
package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// Options say how to run.
type Options struct {
	Device  ort.Device
	Threads int  // of one operator; 0: one a core
	TF32    bool // see ort.Options
	Plan    Plan
	Offload Offload

	Updates Updates // how parameters are updated; nil: all by OptimizerGraph, with weight decay
}

// Engine holds the sessions of an artifact's graphs, opened as they are first needed, and the memory they share.
type Engine struct {
	art      *artifact.Artifact
	opts     Options
	sessions map[string]*ort.Session
	pool     pool
	host     pool // of the host's memory, for what comes from a device

	weights  onnx.DType            // of what is trained, as it is updated
	rounded  onnx.DType            // the type that the graphs take some of that in; weights where there is none other
	layer    []int                 // of each stage: its number among those that plans decide on, or −1
	shape    map[string][]int64    // of each parameter
	dtype    map[string]onnx.DType // of each parameter, as the graphs take it
	trained  []string              // the parameters that are, sorted
	lowest   int                   // the first stage that a backward pass runs
	complete [][]string            // of each stage: the parameters whose gradients are whole when its backward pass has run
	inner    map[string]*onnx.Lifetimes
	onHost   map[string]bool // inputs that stay in the host's memory on any device
}

// New prepares to run an artifact.
func New(a *artifact.Artifact, o Options) (*Engine, error) {
	if err := a.Verify(); err != nil {
		return nil, fmt.Errorf("run artifact: %w", err)
	}
	e := &Engine{art: a, opts: o, sessions: map[string]*ort.Session{}, pool: pool{device: o.Device}, inner: map[string]*onnx.Lifetimes{}}
	if !o.Device.OnHost() {
		e.onHost = e.hostInputs()
	}
	if len(a.Stages) == 0 {
		return e, nil
	}
	if err := e.survey(); err != nil {
		return nil, fmt.Errorf("run artifact: %w", err)
	}
	return e, nil
}

// survey looks at what the stages are made of.
func (e *Engine) survey() error {
	if err := e.parameters(); err != nil {
		return err
	}
	layers, seen := 0, map[string]bool{}
	e.lowest = len(e.art.Stages)
	for i, s := range e.art.Stages {
		e.layer = append(e.layer, -1)
		if s.Graph != e.head().Graph && (e.has(artifact.Stash.Backward(s.Graph)) || e.has(artifact.Probs.Backward(s.Graph))) {
			e.layer[len(e.layer)-1] = layers
			layers++
		}
		var whole []string
		for _, input := range s.Trained() {
			e.lowest = min(e.lowest, i)
			if tensor := s.Params[input].Tensor; !seen[tensor] {
				seen[tensor] = true
				whole = append(whole, tensor)
			}
		}
		slices.Sort(whole)
		e.complete = append(e.complete, whole)
	}
	e.trained = slices.Sorted(maps.Keys(seen))
	if len(e.trained) == 0 {
		return errors.New("nothing in it is trained")
	}
	return e.types()
}

// types finds those of what is trained: as it is updated, which is its gradient's where the artifact has any, and as the graphs take it.
func (e *Engine) types() error {
	of := maps.Clone(e.dtype)
	for _, s := range e.art.Stages {
		for _, input := range s.Trained() {
			for _, r := range artifact.Rungs {
				if g := e.art.Graphs[r.Backward(s.Graph)]; g != nil && g.Output("d."+input) != nil {
					of[s.Params[input].Tensor] = g.Output("d." + input).Type
				}
			}
		}
	}
	e.weights = of[e.trained[0]]
	e.rounded = e.weights
	for _, name := range e.trained {
		if of[name] != e.weights {
			return fmt.Errorf("parameters that are trained are of two types: %s and %s", e.weights, of[name])
		}
		if t := e.dtype[name]; t != e.weights {
			e.rounded = t
		}
	}
	return nil
}

// body is all stages but the head.
func (e *Engine) body() []artifact.Stage { return e.art.Stages[:len(e.art.Stages)-1] }

// head is the last stage.
func (e *Engine) head() artifact.Stage { return e.art.Stages[len(e.art.Stages)-1] }

func (e *Engine) has(graph string) bool { return e.art.Graphs[graph] != nil }

// lifetimes are those of a graph's inner values.
func (e *Engine) lifetimes(graph string) *onnx.Lifetimes {
	if e.inner[graph] == nil {
		e.inner[graph] = e.art.Graphs[graph].Lifetimes()
	}
	return e.inner[graph]
}

// Close releases the sessions and all memory that is not lent.
func (e *Engine) Close() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(e.sessions)) {
		errs = append(errs, e.sessions[name].Close())
	}
	e.sessions = map[string]*ort.Session{}
	e.pool.trim()
	e.host.trim()
	return errors.Join(errs...)
}

// Trim gives back memory that is kept for passes to come.
func (e *Engine) Trim() {
	e.pool.trim()
	e.host.trim()
	ort.TrimScratch()
}

// Artifact is what the engine runs.
func (e *Engine) Artifact() *artifact.Artifact { return e.art }

// PoolBytes is the memory that activations and residuals have taken so far.
func (e *Engine) PoolBytes() int64 { return e.pool.total }

// variant is the graph that runs a stage, where b asks for another than its own.
func (e *Engine) variant(stage int, variant func(string) string) string {
	graph := e.art.Stages[stage].Graph
	if variant != nil && e.has(variant(graph)) {
		return variant(graph)
	}
	return graph
}

// forwardGraph runs a stage forward and keeps what the rung says.
func (e *Engine) forwardGraph(stage int, r artifact.Rung, b *Batch) string {
	if own := e.art.Stages[stage].Graph; r == artifact.Recompute && b.Fused != nil && e.has(b.Fused(own)) {
		return b.Fused(own)
	}
	return r.Forward(e.variant(stage, b.Variant))
}

// rung is what a stage keeps by a plan, or nothing where the artifact has no such graph, since there is nothing to keep.
func (e *Engine) rung(stage int, p Plan) artifact.Rung {
	if l := e.layer[stage]; l >= 0 {
		if r := p.rung(l); e.has(r.Backward(e.art.Stages[stage].Graph)) {
			return r
		}
	}
	return artifact.Recompute
}

// session opens the session of a graph, which always runs on the same device.
func (e *Engine) session(graph string, on ort.Device, threads int) (*ort.Session, error) {
	if s, ok := e.sessions[graph]; ok {
		return s, nil
	}
	g, ok := e.art.Graphs[graph]
	if !ok {
		return nil, fmt.Errorf("the artifact has no graph %s", graph)
	}
	data, err := g.Marshal()
	if err != nil {
		return nil, fmt.Errorf("open graph %s: %w", graph, err)
	}
	s, err := ort.NewSession(data, ort.Options{Name: graph, Threads: threads, Device: on, TF32: e.opts.TF32})
	if err != nil {
		return nil, fmt.Errorf("open graph %s: %w", graph, err)
	}
	e.sessions[graph] = s
	return s, nil
}

// binding is what a graph runs with, by the names of its inputs and outputs.
type binding map[string]*ort.Tensor

// run runs a graph. Inputs come from the first of the bindings that has them. Outputs that given does not bind are
// taken from the pool, at the shapes that sizes imply, and returned; they are the caller's to release.
func (e *Engine) run(graph string, sizes map[string]int64, given binding, from ...binding) (_ map[string]*block, err error) {
	s, err := e.session(graph, e.opts.Device, e.opts.Threads)
	if err != nil {
		return nil, err
	}
	g := e.art.Graphs[graph]
	inputs, outputs := binding{}, binding{}
	var missing []string
	for _, in := range g.Inputs {
		if inputs[in.Name] = lookup(in.Name, from); inputs[in.Name] == nil {
			missing = append(missing, in.Name)
		}
	}
	if missing != nil {
		return nil, fmt.Errorf("run graph %s: no value for input %s", graph, strings.Join(missing, ", "))
	}
	lent := map[string]*block{}
	defer func() {
		if err != nil {
			e.pool.release(slices.Collect(maps.Values(lent))...)
		}
	}()
	for _, o := range g.Outputs {
		if t := given[o.Name]; t != nil {
			outputs[o.Name] = t
			continue
		}
		b, err := e.output(o, sizes)
		if err != nil {
			return nil, fmt.Errorf("run graph %s: output %s: %w", graph, o.Name, err)
		}
		lent[o.Name], outputs[o.Name] = b, b.Tensor
	}
	if err := s.Run(inputs, outputs); err != nil {
		return nil, fmt.Errorf("run graph %s: %w", graph, err)
	}
	return lent, nil
}

// Call runs a graph over arrays in host memory, such as the loss, and gives its outputs, which are floating-point.
func (e *Engine) Call(graph string, sizes map[string]int64, inputs map[string]Array) (map[string][]float64, error) {
	in, err := e.upload(inputs)
	if err != nil {
		return nil, fmt.Errorf("run graph %s: %w", graph, err)
	}
	defer func() { e.pool.release(slices.Collect(maps.Values(in))...) }()
	out, err := e.run(graph, sizes, nil, tensors(in))
	if err != nil {
		return nil, err
	}
	defer func() { e.pool.release(slices.Collect(maps.Values(out))...) }()
	values := map[string][]float64{}
	for name, b := range out {
		if values[name], err = b.floats(); err != nil {
			return nil, fmt.Errorf("run graph %s: output %s: %w", graph, name, err)
		}
	}
	return values, nil
}

func (e *Engine) output(o *onnx.Value, sizes map[string]int64) (*block, error) {
	shape, err := o.Shape.Eval(sizes)
	if err != nil {
		return nil, err
	}
	return e.pool.take(o.Type, shape...)
}

func lookup(name string, from []binding) *ort.Tensor {
	for _, b := range from {
		if t := b[name]; t != nil {
			return t
		}
	}
	return nil
}

// upload copies arrays to the device, but for those that are read in the host's memory.
func (e *Engine) upload(arrays map[string]Array) (map[string]*block, error) {
	out := map[string]*block{}
	for name, a := range arrays {
		b, err := e.uploadOne(a, e.onHost[name])
		out[name] = b
		if err != nil {
			e.pool.release(slices.Collect(maps.Values(out))...)
			return nil, fmt.Errorf("copy input %s to the device: %w", name, err)
		}
	}
	return out, nil
}

func (e *Engine) uploadOne(a Array, onHost bool) (*block, error) {
	if onHost {
		t, err := ort.HostTensor(a.Data, ort.DType(a.Type), a.Shape...)
		if err != nil {
			return nil, err
		}
		return &block{Tensor: t}, nil
	}
	b, err := e.pool.take(a.Type, a.Shape...)
	if err != nil {
		return nil, err
	}
	return b, b.CopyFromHost(a.Data)
}

// tensors is the binding of lent blocks.
func tensors(blocks map[string]*block) binding {
	b := binding{}
	for name, x := range blocks {
		b[name] = x.Tensor
	}
	return b
}
