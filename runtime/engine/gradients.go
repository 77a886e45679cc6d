package engine

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// Gradients are what backward passes add up to: of all parameters, in one buffer, until Clear; or, released, of each
// parameter only from its first contribution until it is whole, when it is used and its memory goes to the next.
type Gradients struct {
	whole   *Weights        // nil where they are released
	written map[string]bool // by tensor: holds anything

	lent map[string]*block
	use  func(tensor string, g *ort.Tensor) error
}

// NewGradients makes gradients of all that is trained, cleared.
func (e *Engine) NewGradients() (*Gradients, error) {
	w, err := e.cleared(e.Parameters(), e.weights, e.opts.Device)
	return &Gradients{whole: w, written: map[string]bool{}}, err
}

// Clear begins a new sum. Nothing is overwritten before there is something to write.
func (g *Gradients) Clear() { clear(g.written) }

// Bytes gives a tensor's gradient and its shape, as Weights.Bytes does.
func (g *Gradients) Bytes(name string) ([]byte, []int64, error) {
	if err := g.settle(name); err != nil {
		return nil, nil, err
	}
	return g.whole.Bytes(name)
}

// Names lists the tensors.
func (g *Gradients) Names() []string { return g.whole.Names }

// settle makes tensors that nothing was added to hold zeros.
func (g *Gradients) settle(names ...string) error {
	for _, name := range names {
		if t := g.whole.tensors[name]; !g.written[name] {
			if err := t.Zero(); err != nil {
				return fmt.Errorf("clear the gradient of %s: %w", name, err)
			}
			g.written[name] = true
		}
	}
	return nil
}

// Add adds the gradients of the same parameters that others hold, in their order. On the CPU only.
func (g *Gradients) Add(others ...*Gradients) error {
	for _, o := range others {
		for _, name := range g.Names() {
			to, from := g.whole.tensors[name].Bytes(), o.whole.tensors[name].Bytes()
			switch {
			case !o.written[name]:
			case to == nil || from == nil:
				return fmt.Errorf("add gradients of %s: they lie on a device", name)
			case !g.written[name]:
				copy(to, from)
				g.written[name] = true
			default:
				addFloats(to, from)
			}
		}
	}
	return nil
}

// addFloats adds float32 numbers in place.
func addFloats(to, from []byte) {
	for i := 0; i+4 <= len(to); i += 4 {
		sum := math.Float32frombits(binary.LittleEndian.Uint32(to[i:])) + math.Float32frombits(binary.LittleEndian.Uint32(from[i:]))
		binary.LittleEndian.PutUint32(to[i:], math.Float32bits(sum))
	}
}

// Close releases the memory.
func (g *Gradients) Close() error {
	if g.whole == nil {
		return nil
	}
	return g.whole.Close()
}

// tensors are the gradients of a stage's parameters by the names of its graph's inputs.
func (g *Gradients) tensors(e *Engine, s artifact.Stage) (binding, error) {
	b := binding{}
	for _, input := range s.Trained() {
		p := s.Params[input]
		if g.whole != nil {
			b[input] = g.whole.tensors[p.Tensor]
			continue
		}
		if g.lent[p.Tensor] == nil {
			var err error
			if g.lent[p.Tensor], err = e.pool.take(e.weights, e.shape[p.Tensor]...); err != nil {
				return nil, err
			}
		}
		b[input] = g.lent[p.Tensor].Tensor
	}
	return b, nil
}

// accumulation gives the graph by which a stage's gradients are written, and what is bound to it: where to write, and what
// to add to where something is there. backward is the graph that adds; the artifact may have one that need not.
func (g *Gradients) accumulation(e *Engine, s artifact.Stage, backward string) (graph string, acc, into binding, err error) {
	of, err := g.tensors(e, s)
	if err != nil {
		return "", nil, nil, err
	}
	acc, into = binding{}, binding{}
	fresh := true
	for _, input := range s.Trained() {
		acc["acc."+input], into["d."+input] = of[input], of[input]
		fresh = fresh && !g.written[s.Params[input].Tensor]
	}
	graph = backward
	if first := artifact.First(backward); fresh && e.has(first) {
		graph = first
	}
	for _, input := range s.Trained() {
		tensor := s.Params[input].Tensor
		if g.written[tensor] || e.art.Graphs[graph].Input("acc."+input) == nil {
			continue
		}
		if err := of[input].Zero(); err != nil {
			return "", nil, nil, fmt.Errorf("clear the gradient of %s: %w", tensor, err)
		}
	}
	return graph, acc, into, nil
}

// wrote notes that a stage's gradients were added, and uses those that are whole.
func (g *Gradients) wrote(e *Engine, stage int) error {
	s := e.art.Stages[stage]
	for _, input := range s.Trained() {
		g.written[s.Params[input].Tensor] = true
	}
	if g.whole != nil {
		return nil
	}
	for _, name := range e.complete[stage] {
		if err := g.use(name, g.lent[name].Tensor); err != nil {
			return err
		}
		e.pool.release(g.lent[name])
		delete(g.lent, name)
	}
	return nil
}

// drop gives back what a pass that failed left lent.
func (g *Gradients) drop(e *Engine) {
	e.pool.release(slices.Collect(maps.Values(g.lent))...)
	clear(g.lent)
}
