package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// Cache holds the keys and values of sequences: of each block two tensors [rows,KV,length,d] in float32, which the graphs that continue
// sequences read, and extend in place. It lies in the host's memory.
type Cache struct {
	Rows, Length int64

	blocks map[int]binding // by stage: key and value
	buffer *ort.Buffer
}

// NewCache makes room for so many sequences of so many tokens. variant is as in Batch.
func (e *Engine) NewCache(variant func(graph string) string, rows, length int64) (*Cache, error) {
	c := &Cache{Rows: rows, Length: length, blocks: map[int]binding{}}
	stages, shape, err := e.cached(variant, rows, length)
	if err != nil {
		return nil, err
	}
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
func (c *Cache) Copy(row int64, from *Cache, of, n int64) {
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

	pool   *pool
	blocks map[string]*block
}

// Row is row r of Logits and of Probs.
func (n *Next) Row(r int) (logits, probs []float32) {
	v := len(n.Logits) / len(n.LogSumExp)
	return n.Logits[r*v : (r+1)*v], n.Probs[r*v : (r+1)*v]
}

// Close gives the memory back.
func (n *Next) Close() {
	n.pool.release(slices.Collect(maps.Values(n.blocks))...)
	n.Logits, n.Probs, n.LogSumExp, n.blocks = nil, nil, nil, nil
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
	last := len(e.art.Stages) - 1
	out, err := e.runStage(e.head(), e.variant(last, b.Variant), w, b.Sizes, nil, flow(x), tensors(inputs))
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", e.head().Name, err)
	}
	return &Next{Logits: out["logits"].Float32s(), Probs: out["probs"].Float32s(), LogSumExp: out["lse"].Float32s(), pool: &e.pool, blocks: out}, nil
}
