package dpo

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/dustin/go-humanize"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
)

// MemoryPlan is how a run stays within its memory. It is found once, from shapes, and kept with the run, so that a resume
// goes on by it whatever else the machine does by then.
type MemoryPlan struct {
	MicroTokens int         `yaml:"micro-tokens" json:"micro_tokens"`       // padded tokens of a micro-batch, at most
	Lanes       int         `yaml:"lanes,omitempty" json:"lanes,omitempty"` // see openLanes; 0 for none
	Passes      engine.Plan `yaml:"passes" json:"passes"`
	Release     bool        `yaml:"release-gradients" json:"release_gradients"` // see engine.Optimizer.Released
}

// Memory is what a run is expected to hold at most, in bytes.
type Memory struct {
	Limit       int64 // what --memory allows
	Weights     int64 // that are trained
	Frozen      int64 // and that are not
	Reference   int64 // where it stays beside the policy, and is not mapped from its file
	Gradients   int64 // 0 where they are released: Activations then has those that are not yet whole
	States      int64
	Activations int64 // of a micro-batch: inputs, activations, residuals
	Scratch     int64 // temporaries of operators
	Process     int64 // the program, its sessions, the data's token ids
	Copies      int64 // of weights and states, where checkpoints are written beside training
	Host        int64 // beside all that, in the host's memory: what is offloaded
}

// Total is all of it.
func (m Memory) Total() int64 {
	return m.Weights + m.Frozen + m.Reference + m.Gradients + m.States + m.Activations + m.Scratch + m.Process + m.Copies
}

// What a micro-batch's padded tokens are bounded by: beyond the first nothing is gained; halved down to the second,
// nothing is lost but some overhead.
const (
	MicroTokens     = 4096
	easyMicroTokens = 1024
)

// sessionsMemory is what open sessions and their threads take, contextMemory what CUDA and its libraries take of a GPU's.
const (
	sessionsMemory = 48 << 20
	contextMemory  = 1 << 30
)

// fit finds the plan, or takes the one that the run began with, and makes the engine follow it.
func (t *Trainer) fit() error {
	e := t.policy.engine
	if err := reach(t.options.Device); err != nil {
		return err
	}
	limit, err := parseMemory(t.Memory, t.options.Device)
	if err != nil {
		return Usage("memory: %v", err)
	}
	fixed, err := t.fixed(limit)
	if err != nil {
		return err
	}
	if t.Planned != nil {
		t.memoryPlan = *t.Planned
		t.expected, err = t.expect(t.memoryPlan, fixed)
	} else {
		t.memoryPlan, t.expected, err = t.planMemory(fixed)
	}
	if err != nil {
		return err
	}
	if err := checkHost(t.expected.Host); err != nil {
		return err
	}
	t.Planned = &t.memoryPlan
	t.expected.Copies = t.copies(t.expected)
	t.need = engine.Need{Kept: t.expected.Activations / int64(t.lanesAtOnce(t.memoryPlan.Lanes)), Scratch: t.expected.Scratch}
	e.Use(t.memoryPlan.Passes)
	e.Limit(t.need)
	return nil
}

// fixed is what the run holds by any plan.
func (t *Trainer) fixed(limit int64) (Memory, error) {
	held, err := t.policy.engine.Held()
	m := Memory{Limit: limit, Weights: held.Weights, Frozen: held.Frozen, Gradients: held.Gradients, States: held.States,
		Host: held.HostWeights + held.HostStates + held.HostUpdates, Process: contextMemory}
	if t.options.Device.OnHost() {
		own, _ := heldMemory()
		m.Process = own + sessionsMemory
	}
	if err != nil {
		return m, err
	}
	var offloaded int64
	m.Reference, offloaded, err = t.besideBytes(held)
	m.Host += offloaded
	return m, err
}

// besideBytes is what a reference takes that stays beside the policy, unless it is mapped from its file, and what of it is offloaded.
func (t *Trainer) besideBytes(policy engine.Held) (bytes, offloaded int64, err error) {
	onDevice := !t.options.Device.OnHost() && t.options.Offload != engine.OffloadParameters
	switch {
	case t.SyncRefModel:
	case t.stream == nil && !t.drifts() || t.unreferenced():
		return 0, 0, nil
	case t.Ref != "" && onDevice:
		m, err := models.Open(t.Ref)
		if err != nil {
			return 0, 0, fmt.Errorf("reference: %w", err)
		}
		return m.Parameters() * int64(storedType(m).Size()), 0, m.Close()
	case t.Ref != "" || t.mappable():
		return 0, 0, nil
	}
	if onDevice {
		bytes = policy.Frozen
	}
	return bytes + policy.Weights, policy.HostWeights, nil
}

// planMemory chooses, of the plans that fit, the one that costs least time. fixed is what all of them hold.
func (t *Trainer) planMemory(fixed Memory) (MemoryPlan, Memory, error) {
	var best MemoryPlan
	var memory, least Memory
	found := false
	for _, family := range t.plans() {
		fit := sort.Search(len(family), func(i int) bool {
			m, err := t.expect(family[i], fixed)
			return err == nil && m.Total() <= m.Limit
		})
		m, err := t.expect(family[min(fit, len(family)-1)], fixed)
		if err != nil {
			return best, m, err
		}
		if fit == len(family) {
			least = m
			continue
		}
		if !found || t.slowdown(family[fit]) < t.slowdown(best) {
			best, memory, found = family[fit], m, true
		}
	}
	if found {
		return best, memory, nil
	}
	return best, least, fmt.Errorf("this run needs %s at least, --memory allows %s: weights, gradients and states take %s, the smallest micro-batch %s; "+
		"give more --memory, or lower --max-length%s", humanize.IBytes(uint64(least.Total())), humanize.IBytes(uint64(least.Limit)),
		humanize.IBytes(uint64(least.Weights+least.Frozen+least.Gradients+least.States)), humanize.IBytes(uint64(least.Activations+least.Scratch)), t.cheaper(least))
}

// cheaper says what else takes less memory.
func (t *Trainer) cheaper(m Memory) string {
	switch {
	case t.options.Device.OnHost() || t.options.Offload == engine.OffloadParameters:
	case t.Offload == "" && m.Frozen < m.Weights+m.States:
		return ", or give --offload states, which leaves what is updated in the host's memory"
	default:
		return ", or give --offload parameters, which leaves all weights in the host's memory"
	}
	switch {
	case 2*m.States > m.Weights:
		return ", or take --optimizer adafactor, whose states are next to nothing"
	case t.Rung != autoRung:
		return ", or leave out --rung"
	}
	return ""
}

// plans lists what there is to choose from, in families, each from most memory to least. Released gradients come
// second: after a step that fails there is no state before it to save.
func (t *Trainer) plans() [][]MemoryPlan {
	layers := t.policy.engine.Layers()
	keeps := []engine.Plan{{}}
	if t.Rung == autoRung {
		for n := range layers {
			keeps = append(keeps, engine.Plan{Probs: n + 1})
		}
		for n := range layers + 1 {
			keeps = append(keeps, engine.Plan{Recompute: n, Probs: layers - n, RecomputeHead: true})
		}
	} else {
		keeps = []engine.Plan{engine.Uniform(artifact.Rung(t.Rung), layers)}
	}
	var released, plain []MemoryPlan
	most := mostTokens(t.options.Device)
	tokens := most
	for ; tokens > easyMicroTokens; tokens /= 2 {
		plain = append(plain, MemoryPlan{MicroTokens: tokens, Passes: keeps[0]})
	}
	for _, p := range keeps {
		plain = append(plain, MemoryPlan{MicroTokens: tokens, Passes: p})
		released = append(released, MemoryPlan{MicroTokens: most, Passes: p, Release: true})
	}
	last := keeps[len(keeps)-1]
	for tokens /= 2; tokens > 0; tokens /= 2 {
		plain = append(plain, MemoryPlan{MicroTokens: tokens, Passes: last})
	}
	last.HeadColumns = 1024
	plain = append(plain, MemoryPlan{MicroTokens: 1, Passes: last})
	families := [][]MemoryPlan{plain}
	if lanes := lanesOf(t.policy.model.Parameters()); lanes > 0 && t.options.Device.OnHost() && !t.oneMicroBatch(easyMicroTokens) {
		families = append(families, []MemoryPlan{{MicroTokens: easyMicroTokens, Passes: keeps[0], Lanes: lanes}})
	}
	if t.MaxGradNorm == 0 && !t.skips() && t.oneMicroBatch(most) { // an update within the backward pass cannot be skipped
		families = append(families, released)
	}
	return families
}

// slowdown is about how much more time a plan takes: computing attention probabilities again costs a seventh at most,
// whole layers a third, and small micro-batches some overhead. Lanes spare more than that.
func (t *Trainer) slowdown(p MemoryPlan) float64 {
	if p.Lanes > 0 {
		return 0
	}
	layers := float64(max(t.policy.engine.Layers(), 1))
	return 0.1 + (float64(p.Passes.Probs)/7+float64(p.Passes.Recompute)/3)/layers + 0.01*math.Log2(float64(mostTokens(t.options.Device))/float64(p.MicroTokens))
}

// autoRung lets the plan decide what each layer keeps.
const autoRung = "auto"

// expect is what the run holds by a plan, at the micro-batches it will meet.
func (t *Trainer) expect(plan MemoryPlan, m Memory) (Memory, error) {
	if plan.Release {
		m.Gradients = 0
	}
	m.Gradients *= int64(max(plan.Lanes, 1))
	var need engine.Need
	for _, s := range t.microShapes(plan.MicroTokens) {
		n, err := t.policy.engine.Need(s.batch(t.policy.fused), plan.Passes, plan.Release)
		if err != nil {
			return m, err
		}
		need = need.And(n)
	}
	atOnce := int64(t.lanesAtOnce(plan.Lanes))
	m.Activations, m.Scratch = need.Kept*atOnce, need.Scratch*atOnce
	if spare := m.Limit - m.Total(); spare > 0 && t.options.Device.OnHost() {
		m.Scratch += min(spare, m.Scratch/2) // blocks of sizes that do not fit, kept for those that do
	}
	return m, nil
}

// oneMicroBatch reports whether every step is sure to be a single micro-batch.
func (t *Trainer) oneMicroBatch(tokens int) bool {
	if t.stepsRead() < t.total {
		return t.Batch == 1
	}
	for step := range t.planned() {
		if len(microBatches(t.rows.Examples, t.order.step(step), t.MicroBatch, tokens)) > 1 {
			return false
		}
	}
	return true
}

// planned is how many steps the plan looks at: all whose rows are there, but of very long runs the first million groups.
func (t *Trainer) planned() int { return min(t.stepsRead(), 1+(1<<20)/t.Batch) }

// microShape is what the memory of a micro-batch depends on: groups, completions a group, padded lengths, packed and
// scored tokens.
type microShape struct{ G, K, P, C, T, R, blocks int }

// batch is a micro-batch of this shape, without its numbers, for a model that has graphs with fused attention or none.
func (s microShape) batch(fused bool) *engine.Batch {
	b := &engine.Batch{Sizes: map[string]int64{"G": int64(s.G), "K": int64(s.K), "P": int64(s.P), "C": int64(s.C), "N": int64(s.G * s.K),
		"T": int64(s.T), "R": int64(max(s.R, 1)), "S": int64(s.P + s.C)}}
	if fused && s.fused() {
		b.Fused = models.Fused
	}
	if s.blocks > 1 {
		b.Variant, b.Sizes["p"], b.Sizes["c"] = models.Long, int64(s.P/s.blocks), int64(s.C/s.blocks)
	}
	return b
}

// pairs is how many pairs of query and key attention computes: those of a block of queries with the keys up to its end.
func (s microShape) pairs() int {
	causal := func(n int) int { return n * n * (s.blocks + 1) / (2 * s.blocks) }
	return s.G * (causal(s.P) + s.K*(s.C*s.P+causal(s.C)))
}

// shapeOf is that of a micro-batch, whose queries are cut into blocks where rows are long.
func shapeOf(groups []datasets.Example, long int) microShape {
	s := microShape{G: len(groups), K: len(groups[0].Completions)}
	for _, x := range groups {
		_, p, c := extent(x)
		s.P, s.C = max(s.P, p), max(s.C, c)
		s.T += len(x.Prompt)
		for k, completion := range x.Completions {
			s.T += len(completion.IDs) - 1
			s.R += scored(x, k)
		}
	}
	s.blocks = blocksOf(s.P, s.C, long)
	s.P, s.C = roundUp(s.P, s.blocks), roundUp(s.C, s.blocks)
	return s
}

// microShapes are the shapes of micro-batches of the run that may take most memory: those with most tokens, scored tokens or pairs
// of query and key.
func (t *Trainer) microShapes(tokens int) []microShape {
	if known := t.shapes[tokens]; known != nil {
		return known
	}
	largest := map[microShape]microShape{} // by lengths: most tokens
	add := func(examples []datasets.Example, rows []int) {
		s := shapeOf(pick(examples, rows), t.policy.long)
		key := microShape{G: s.G, K: s.K, P: s.P, C: s.C, blocks: s.blocks}
		most := largest[key]
		s.T, s.R = max(s.T, most.T), max(s.R, most.R)
		largest[key] = s
	}
	for step := range t.planned() {
		for _, rows := range microBatches(t.rows.Examples, t.order.step(step), t.MicroBatch, tokens) {
			add(t.rows.Examples, rows)
		}
	}
	for _, step := range t.evalSteps() {
		for _, rows := range t.evalMicroBatches(step, tokens) {
			add(t.eval.Examples, rows)
		}
	}
	var shapes []microShape
	if t.stepsRead() < t.total {
		shapes = t.boundShapes(tokens)
	}
	for _, s := range largest {
		shapes = append(shapes, s)
	}
	chosen := map[microShape]bool{}
	for _, of := range []func(microShape) int{microShape.pairs, func(s microShape) int { return s.T }, func(s microShape) int { return s.R }} {
		slices.SortFunc(shapes, func(a, b microShape) int { return cmp.Or(of(b)-of(a), slices.Compare(b.list(), a.list())) })
		for _, s := range shapes[:min(8, len(shapes))] {
			chosen[s] = true
		}
	}
	if t.shapes == nil {
		t.shapes = map[int][]microShape{}
	}
	t.shapes[tokens] = slices.Collect(maps.Keys(chosen))
	return t.shapes[tokens]
}

// boundShapes are the largest micro-batches that rows which are still to be read can make: short prompts with long answers
// have most tokens, long prompts most pairs.
func (t *Trainer) boundShapes(tokens int) (shapes []microShape) {
	K, _, _ := extent(t.rows.Examples[0])
	for _, prompt := range []int{bucket, t.MaxLength / 2, t.MaxLength - bucket} {
		p := max(prompt, 1)
		c := max(t.MaxLength-p, 1)
		groups := min(t.Batch, max(1, tokens/padded(K, p, c)))
		if t.MicroBatch > 0 {
			groups = min(groups, t.MicroBatch)
		}
		s := microShape{G: groups, K: K, T: groups * (p + K*c), R: groups * K * c, blocks: blocksOf(p, c, t.policy.long)}
		s.P, s.C = roundUp(p, s.blocks), roundUp(c, s.blocks)
		shapes = append(shapes, s)
	}
	return shapes
}

func (s microShape) list() []int { return []int{s.G, s.K, s.P, s.C, s.T, s.R} }
