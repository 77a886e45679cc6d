package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// Plan says what passes keep between forward and backward. The zero Plan keeps all: most memory, least time.
type Plan struct {
	Recompute     int   `yaml:"recompute" json:"recompute"`           // layers, from the first on, that keep their input alone
	Probs         int   `yaml:"probs" json:"probs"`                   // layers after those that keep all but attention probabilities
	RecomputeHead bool  `yaml:"recompute-head" json:"recompute_head"` // the head keeps no logits
	HeadColumns   int64 `yaml:"head-columns" json:"head_columns"`     // rows of the vocabulary that the head takes at once; 0: as suits the device
}

// Uniform is the plan by which all layers keep the same.
func Uniform(r artifact.Rung, layers int) Plan {
	switch r {
	case artifact.Recompute:
		return Plan{Recompute: layers, RecomputeHead: true}
	case artifact.Probs:
		return Plan{Probs: layers}
	}
	return Plan{}
}

// rung is what layer l of a model keeps by the plan. The first layers keep least: their backward passes, which take most
// memory, come when what the others kept is free.
func (p Plan) rung(l int) artifact.Rung {
	switch {
	case l < p.Recompute:
		return artifact.Recompute
	case l-p.Recompute < p.Probs:
		return artifact.Probs
	}
	return artifact.Stash
}

// Need is what micro-batches of some shape take beside weights, gradients and states, in bytes.
type Need struct {
	Kept    int64 // at most at one moment: inputs, activations and residuals, and gradients where they are released
	Scratch int64 // inside the Run that takes most; on a GPU, where each session keeps what it took, inside all of them

	sessions map[string]int64 // on a GPU: Scratch by graph
}

// And is what batches take of which some need n and some o.
func (n Need) And(o Need) Need {
	all := Need{Kept: max(n.Kept, o.Kept), Scratch: max(n.Scratch, o.Scratch)}
	if o.sessions == nil {
		return all
	}
	all.sessions, all.Scratch = maps.Clone(o.sessions), 0
	for graph, taken := range n.sessions {
		all.sessions[graph] = max(all.sessions[graph], taken)
	}
	for _, taken := range all.sessions {
		all.Scratch += taken
	}
	return all
}

// Layers is how many stages there are whose residuals a plan decides on.
func (e *Engine) Layers() int {
	n := 0
	for _, l := range e.layer {
		n = max(n, l+1)
	}
	return n
}

// Parameters are the shapes of all that is trained, by tensor.
func (e *Engine) Parameters() map[string][]int64 {
	shapes := map[string][]int64{}
	for _, name := range e.trained {
		shapes[name] = e.shape[name]
	}
	return shapes
}

// Held is what lies in memory between passes, in bytes.
type Held struct {
	Weights   int64 // that are trained, with what stages are run with in their place
	Frozen    int64 // those that are not
	Gradients int64
	States    int64 // of the optimizer

	HostWeights, HostStates int64 // in the host's memory instead, where they are offloaded
	HostUpdates             int64 // what updates take there beside them
}

// Held computes, from shapes alone, what weights, gradients and the optimizer's states take.
func (e *Engine) Held() (h Held, _ error) {
	own, bound := bytesOf(e.Parameters(), e.weights), int64(0)
	if e.rounded != e.weights {
		bound = bytesOf(e.Parameters(), e.rounded)
	}
	if e.art.Optimizer != "" {
		states, err := e.stateShapes(e.Parameters())
		if err != nil {
			return h, err
		}
		for _, of := range states {
			h.States += bytesOf(of, e.weights)
		}
	}
	for name, shape := range e.shape {
		if !slices.Contains(e.trained, name) {
			h.Frozen += elements(shape) * int64(e.dtype[name].Size())
		}
	}
	h.Gradients = own
	if e.opts.Offload != "" && e.art.Optimizer != "" {
		var err error
		if h.HostUpdates, err = e.hostUpdates(); err != nil {
			return h, err
		}
	}
	switch e.opts.Offload {
	case OffloadStates:
		h.Weights, h.HostWeights = bound+bytesOf(e.unrounded(), e.weights), own
		h.States, h.HostStates = 0, h.States
	case OffloadParameters:
		h.Frozen, h.HostWeights = 0, own+bound+h.Frozen
		h.States, h.HostStates = 0, h.States
	default:
		h.Weights = own + bound
	}
	return h, nil
}

// bytesOf is what tensors of these shapes take in a buffer.
func bytesOf(shapes map[string][]int64, t onnx.DType) int64 {
	return paddedElements(shapes) * int64(t.Size())
}

func paddedElements(shapes map[string][]int64) (n int64) {
	for _, shape := range shapes {
		n += aligned(shape)
	}
	return n
}

// Use sets the plan of the passes that follow.
func (e *Engine) Use(p Plan) { e.opts.Plan = p }

// Limit bounds the memory for activations and residuals, and for the temporaries of operators: beyond it nothing is kept
// for the next pass. What a pass needs it gets all the same.
func (e *Engine) Limit(n Need) {
	e.pool.limit = n.Kept
	ort.LimitScratch(int(n.Scratch))
}

// Need computes, from shapes alone, what a micro-batch takes by a plan, and with released gradients. It
// follows a pass forward and backward, stage by stage.
// Of the batch only sizes and names of graphs count.
func (e *Engine) Need(b *Batch, p Plan, released bool) (Need, error) {
	c := &count{engine: e, plan: p, batch: b, sizes: b.Sizes, lives: map[string]int64{}, scratch: map[string]int64{}}
	c.inputs()
	c.forward()
	if released {
		c.grads = map[string]int64{}
	}
	c.head()
	c.backward()
	if c.err != nil {
		return Need{}, fmt.Errorf("plan memory: %w", c.err)
	}
	if c.engine.opts.Device.OnHost() {
		return Need{Kept: c.peak, Scratch: c.temporaries()}, c.err
	}
	c.optimizer()
	return Need{}.And(Need{Kept: c.peak, sessions: c.scratch}), c.err
}

// count follows a pass.
type count struct {
	engine     *Engine
	plan       Plan
	sizes      map[string]int64
	batch      *Batch
	live, peak int64
	scratch    map[string]int64 // of temporaries, by graph
	lives      map[string]int64 // what each stage keeps, by its name
	grads      map[string]int64 // released gradients that are not yet whole, by tensor; nil for none
	err        error
}

// take counts memory until it is given back as a negative number.
func (c *count) take(bytes int64) int64 {
	c.live += bytes
	c.peak = max(c.peak, c.live)
	return bytes
}

func (c *count) bytes(v *onnx.Value, sizes map[string]int64) int64 {
	n, err := v.Bytes(sizes)
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("%s: %w", v.Name, err)
	}
	return (max(n, 1) + granule - 1) / granule * granule
}

// run counts the temporaries of a graph.
func (c *count) run(graph string, sizes map[string]int64) {
	n, err := c.engine.lifetimes(graph).Peak(sizes)
	if err != nil && c.err == nil {
		c.err = err
	}
	c.scratch[graph] = max(c.scratch[graph], n+n/8) // blocks are rounded, and lent where they are a little too large
}

// temporaries are those of the host's sessions, where one block after the other serves all.
func (c *count) temporaries() int64 {
	n := c.updates()
	for _, of := range c.scratch {
		n = max(n, of)
	}
	return n
}

// optimizer counts the temporaries of updates on a GPU.
func (c *count) optimizer() {
	if c.engine.opts.Offload != "" {
		return
	}
	if c.engine.has(OptimizerGraph) {
		c.run(OptimizerGraph, map[string]int64{"n": min(c.engine.slice(), paddedElements(c.engine.Parameters()))})
	}
	c.scratch["updates of whole tensors"] = c.updates()
}

// updates are the temporaries of updates of whole tensors, of those that may run at once and take most. On a GPU each graph's
// session keeps what it took.
func (c *count) updates() (n int64) {
	e, all, most := c.engine, []int64{}, map[string]int64{}
	for tensor, shape := range e.Parameters() {
		graph := e.update(tensor, shape).Graph
		if graph == OptimizerGraph || !e.has(graph) {
			continue
		}
		sizes, err := symbolsOf(e.art.Graphs[graph], shape)
		if err == nil {
			var peak int64
			peak, err = e.lifetimes(graph).Peak(sizes)
			all, most[graph] = append(all, peak), max(most[graph], peak)
		}
		if err != nil && c.err == nil {
			c.err = fmt.Errorf("update of %s: %w", tensor, err)
		}
	}
	home := e.home()
	if !home.OnHost() {
		all = slices.Collect(maps.Values(most))
	}
	slices.Sort(all)
	atOnce := len(all)
	if home.OnHost() {
		atOnce = min(atOnce, e.workers(home))
	}
	for _, peak := range all[len(all)-atOnce:] {
		n += peak + peak/8
	}
	return n
}

// inputs are the batch's own tensors.
func (c *count) inputs() {
	seen := map[string]bool{}
	for i, s := range c.engine.body() {
		// A batch for graphs without gradient is also one for those with.
		for _, graph := range []string{c.engine.variant(i, c.batch.Variant), c.engine.forwardGraph(i, artifact.Recompute, c.batch)} {
			for _, v := range c.engine.art.Graphs[graph].Inputs {
				if _, parameter := s.Params[v.Name]; v.Name != "x" && !parameter && !seen[v.Name] {
					seen[v.Name] = true
					c.take(c.bytes(v, c.sizes))
				}
			}
		}
	}
}

func (c *count) forward() {
	for i, s := range c.engine.body() {
		graph := c.engine.forwardGraph(i, c.engine.rung(i, c.plan), c.batch)
		c.run(graph, c.sizes)
		brought := c.bring(s, c.sizes)
		for _, out := range c.engine.art.Graphs[graph].Outputs {
			c.lives[s.Name] += c.take(c.bytes(out, c.sizes))
		}
		c.take(-brought)
	}
}

// bring counts what a stage's parameters take on the device where they come there for a Run.
func (c *count) bring(s artifact.Stage, sizes map[string]int64) (n int64) {
	if c.engine.opts.Offload != OffloadParameters {
		return 0
	}
	for input := range s.Params {
		n += c.take(c.bytes(c.engine.art.Graphs[s.Graph].Input(input), sizes))
	}
	return n
}

// head counts a piece of the vocabulary forward and backward, with what all pieces keep.
func (c *count) head() {
	e, scored := c.engine, c.sizes["R"]
	head := e.head()
	pieces := e.cutVocabulary(scored, c.plan)
	sizes := maps.Clone(c.sizes)
	sizes["B"] = pieces[0].last - pieces[0].first
	rung := e.headRung(scored, c.plan)
	forward, backward := rung.Forward(head.Graph), rung.Backward(head.Graph)
	c.run(forward, sizes)
	c.run(backward, sizes)
	brought := c.bring(head, sizes)
	c.hold(head)
	kept := int64(0)
	if rung != artifact.Recompute {
		for _, out := range e.art.Graphs[forward].Outputs {
			if out.Name != "lse" && out.Name != "logit" && out.Name != "squares" {
				kept += c.take(c.bytes(out, sizes) * int64(len(pieces)))
			}
		}
	}
	for _, out := range e.art.Graphs[backward].Outputs {
		if out.Name == "dx" {
			c.lives["dy"] = c.take(c.bytes(out, sizes))
		}
	}
	c.take(-kept - brought)
	c.release(len(e.art.Stages) - 1)
}

// hold counts the gradients that a stage adds to.
func (c *count) hold(s artifact.Stage) {
	for _, input := range s.Trained() {
		p := s.Params[input]
		if _, ok := c.grads[p.Tensor]; !ok && c.grads != nil {
			c.grads[p.Tensor] = c.take(elements(c.engine.shape[p.Tensor]) * int64(c.engine.weights.Size()))
		}
	}
}

// release counts down the gradients that are whole after a stage.
func (c *count) release(stage int) {
	for _, tensor := range c.engine.complete[stage] {
		c.take(-c.grads[tensor])
	}
}

// backward counts stages in reverse.
func (c *count) backward() {
	for i, s := range slices.Backward(c.engine.body()) {
		if i < c.engine.lowest {
			break
		}
		graph := c.engine.rung(i, c.plan).Backward(c.engine.variant(i, c.batch.Variant))
		c.run(graph, c.sizes)
		brought := c.bring(s, c.sizes)
		c.hold(s)
		dx := int64(0)
		if out := c.engine.art.Graphs[graph].Output("dx"); out != nil {
			dx = c.take(c.bytes(out, c.sizes))
		}
		c.take(-c.lives["dy"] - c.lives[s.Name] - brought)
		c.lives["dy"] = dx
		c.release(i)
	}
}
