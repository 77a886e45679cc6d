package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// CacheGraph copies rows of a matrix to others in place, on a device whose memory the host does not reach: see Cache.Copy.
const CacheGraph = "cache"

// Cache holds the keys and values of sequences: of each block two tensors [rows,KV,length,d] in float32, which the graphs that continue
// sequences read, and extend in place. One buffer holds them all, one after the other.
type Cache struct {
	Rows, Length int64

	engine *Engine
	blocks map[int]binding // by stage: key and value
	buffer *ort.Buffer
	shape  []int64 // of each tensor
}

// NewCache makes room for so many sequences of so many tokens. variant is as in Batch.
func (e *Engine) NewCache(variant func(graph string) string, rows, length int64) (*Cache, error) {
	c := &Cache{Rows: rows, Length: length, engine: e, blocks: map[int]binding{}}
	stages, shape, err := e.cached(variant, rows, length)
	if err != nil {
		return nil, err
	}
	c.shape = shape
	size := int(elements(shape)) * onnx.Float32.Size()
	if c.buffer, err = e.opts.Device.Alloc(2 * len(stages) * size); err != nil {
		return nil, fmt.Errorf("make a cache of %d sequences of %d tokens: %w", rows, length, err)
	}
	for n, stage := range stages {
		key, err1 := ort.NewTensor(c.buffer, 2*n*size, ort.Float32, shape...)
		value, err2 := ort.NewTensor(c.buffer, (2*n+1)*size, ort.Float32, shape...)
		if err := errors.Join(err1, err2); err != nil {
			c.Close()
			return nil, err
		}
		c.blocks[stage] = binding{"key": key, "value": value}
	}
	return c, nil
}

// cached lists the stages that have a cache, and the shape of their keys, and of their values.
func (e *Engine) cached(variant func(graph string) string, rows, length int64) (stages []int, shape []int64, err error) {
	for i := range e.body() {
		if keys := e.art.Graphs[e.variant(i, variant)].Input("past_key"); keys != nil {
			stages = append(stages, i)
			if shape, err = keys.Shape.Eval(map[string]int64{"B": rows, "M": length}); err != nil {
				return nil, nil, fmt.Errorf("make a cache: %w", err)
			}
		}
	}
	return stages, shape, nil
}

// CacheBytes is what a cache of so many sequences of so many tokens takes.
func (e *Engine) CacheBytes(variant func(graph string) string, rows, length int64) (int64, error) {
	stages, shape, err := e.cached(variant, rows, length)
	return 2 * int64(len(stages)) * elements(shape) * int64(onnx.Float32.Size()), err
}

// Copy makes the first n positions of a row those of a row of another cache of the same model, or of this one.
func (c *Cache) Copy(row int64, from *Cache, of, n int64) error {
	if !c.engine.opts.Device.OnHost() {
		return c.copyThere(row, from, of, n)
	}
	for stage, to := range c.blocks {
		for name, t := range to {
			heads, position := t.Shape[1], t.Shape[3]*int64(onnx.Float32.Size())
			into, source := t.Bytes(), from.blocks[stage][name].Bytes()
			for h := range heads {
				at, first := (row*heads+h)*c.Length*position, (of*heads+h)*from.Length*position
				copy(into[at:at+n*position], source[first:first+n*position])
			}
		}
	}
	return nil
}

// copyThere is Copy where the memory lies, of all tensors by one Run.
func (c *Cache) copyThere(row int64, from *Cache, of, n int64) error {
	positions := make([]int64, n)
	for i := range positions {
		positions[i] = int64(i)
	}
	to, source := c.firsts(row), from.firsts(of)
	inputs, err := c.engine.upload(map[string]Array{"positions": Int64s(positions, n),
		"to_rows": Int64s(to, int64(len(to))), "from_rows": Int64s(source, int64(len(source)))})
	if err != nil {
		return err
	}
	defer func() { c.engine.pool.release(slices.Collect(maps.Values(inputs))...) }()
	into, err1 := c.matrix()
	held, err2 := from.matrix()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	_, err = c.engine.run(CacheGraph, nil, binding{"copied": into}, binding{"to": into, "from": held}, tensors(inputs))
	return err
}

// matrix is all of the cache, a row a position of a head.
func (c *Cache) matrix() (*ort.Tensor, error) {
	d := c.shape[3]
	return ort.NewTensor(c.buffer, 0, ort.Float32, 2*int64(len(c.blocks))*elements(c.shape)/d, d)
}

// firsts are the matrix's rows with the first position of each head of a sequence.
func (c *Cache) firsts(sequence int64) (rows []int64) {
	heads, length := c.shape[1], c.shape[2]
	for tensor := range 2 * int64(len(c.blocks)) {
		for h := range heads {
			rows = append(rows, ((tensor*c.Rows+sequence)*heads+h)*length)
		}
	}
	return rows
}

// bound binds the first rows of a stage's cache, as what its graph reads and as what it writes; nil where it has none.
func (c *Cache) bound(stage int, rows int64) (past, present binding, err error) {
	if c.blocks[stage] == nil {
		return nil, nil, nil
	}
	past, present = binding{}, binding{}
	for name, t := range c.blocks[stage] {
		part, err := t.Rows(0, rows)
		if err != nil {
			return nil, nil, err
		}
		past["past_"+name], present["present_"+name] = part, part
	}
	return past, present, nil
}

// Close releases the memory.
func (c *Cache) Close() {
	for _, b := range c.blocks {
		b.close()
	}
	c.blocks = nil
	c.buffer.Free()
}

// Next says what may follow each of R rows, until Close.
type Next struct {
	Logits, Probs []float32 // [R,V]; Probs at the batch's temperature
	LogSumExp     []float32 // [R], of Logits

	from *pool
	all  *block // of the host's memory
}

// Row is row r of Logits and of Probs.
func (n *Next) Row(r int) (logits, probs []float32) {
	v := len(n.Logits) / len(n.LogSumExp)
	return n.Logits[r*v : (r+1)*v], n.Probs[r*v : (r+1)*v]
}

// Close gives the memory back.
func (n *Next) Close() {
	n.from.release(n.all)
	n.Logits, n.Probs, n.LogSumExp, n.all = nil, nil, nil, nil
}

// Decode runs further tokens of the sequences in the first rows of a cache, puts their keys and values into it, and says what may follow
// the rows that the batch names. The batch's inputs and Variant are those of graphs that continue sequences.
func (e *Engine) Decode(w *Weights, c *Cache, b *Batch) (*Next, error) {
	inputs, err := e.upload(b.Inputs)
	if err != nil {
		return nil, err
	}
	defer func() { e.pool.release(slices.Collect(maps.Values(inputs))...) }()
	var x *block
	defer func() { e.pool.release(x) }()
	for i, s := range e.body() {
		past, present, err := c.bound(i, b.Sizes["B"])
		if err != nil {
			return nil, fmt.Errorf("stage %s: %w", s.Name, err)
		}
		out, err := e.runStage(s, e.variant(i, b.Variant), w, b.Sizes, present, flow(x), past, tensors(inputs))
		if err != nil {
			return nil, fmt.Errorf("stage %s: %w", s.Name, err)
		}
		e.pool.release(x)
		x = out["y"]
	}
	return e.next(w, x, b, inputs)
}

// next runs the head, whose outputs lie side by side, so that one copy brings them to the host.
func (e *Engine) next(w *Weights, x *block, b *Batch, inputs map[string]*block) (_ *Next, err error) {
	R, V := b.Sizes["R"], e.art.Dims["vocab"]
	all, err := e.pool.take(onnx.Float32, R*(2*V+1))
	if err != nil {
		return nil, err
	}
	n := &Next{from: &e.pool, all: all}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	last, size := len(e.art.Stages)-1, onnx.Float32.Size()
	logits, err1 := ort.NewTensor(all.buffer, 0, ort.Float32, R, V)
	probs, err2 := ort.NewTensor(all.buffer, int(R*V)*size, ort.Float32, R, V)
	lse, err3 := ort.NewTensor(all.buffer, 2*int(R*V)*size, ort.Float32, R)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	outputs := binding{"logits": logits, "probs": probs, "lse": lse}
	if _, err := e.runStage(e.head(), e.variant(last, b.Variant), w, b.Sizes, outputs, flow(x), tensors(inputs)); err != nil {
		return nil, fmt.Errorf("stage %s: %w", e.head().Name, err)
	}
	if err := e.fetch(n); err != nil {
		return nil, err
	}
	values := n.all.Float32s()
	n.Logits, n.Probs, n.LogSumExp = values[:R*V], values[R*V:2*R*V], values[2*R*V:]
	return n, nil
}

// fetch copies what follows to memory of the host where it lies on a device.
func (e *Engine) fetch(n *Next) error {
	if e.opts.Device.OnHost() {
		return nil
	}
	here, err := e.host.take(onnx.Float32, n.all.Shape...)
	if err != nil {
		return err
	}
	err = n.all.CopyToHost(here.Bytes())
	n.from.release(n.all)
	n.from, n.all = &e.host, here
	return err
}
