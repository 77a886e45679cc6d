package engine

import (
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// pool lends device memory for activations and takes it back. Pages stay mapped between steps: handing fresh ones to
// the kernel each time would cost more than some operators.
type pool struct {
	device ort.Device
	free   []*ort.Buffer // sorted by size
	total  int64
	limit  int64 // of total, where what is free can keep it; 0 for none
}

// block is a piece of lent memory and the tensor over it.
type block struct {
	*ort.Tensor
	buffer *ort.Buffer // nil of a tensor over the host's memory
}

const granule = 1 << 12

// take lends a tensor. A free buffer serves if it is not more than twice too large; where none does, a new one takes
// the place of the largest that was too small, so that batches of growing shapes do not pile up memory.
func (p *pool) take(t onnx.DType, shape ...int64) (*block, error) {
	need := t.Size()
	for _, d := range shape {
		need *= int(d)
	}
	need = (max(need, 1) + granule - 1) / granule * granule
	buffer, err := p.find(need)
	if err != nil {
		return nil, fmt.Errorf("allocate %d bytes for a %s%v: %w", need, t, shape, err)
	}
	tensor, err := ort.NewTensor(buffer, 0, ort.DType(t), shape...)
	if err != nil {
		p.put(buffer)
		return nil, err
	}
	return &block{tensor, buffer}, nil
}

func (p *pool) find(need int) (*ort.Buffer, error) {
	at, _ := slices.BinarySearchFunc(p.free, need, func(b *ort.Buffer, n int) int { return b.Len() - n })
	if at < len(p.free) && p.free[at].Len() <= 2*need+16*granule {
		buffer := p.free[at]
		p.free = slices.Delete(p.free, at, at+1)
		return buffer, nil
	}
	if at > 0 {
		p.total -= int64(p.free[at-1].Len())
		p.free[at-1].Free()
		p.free = slices.Delete(p.free, at-1, at)
	}
	for p.limit > 0 && p.total+int64(need) > p.limit && len(p.free) > 0 {
		last := len(p.free) - 1
		p.total -= int64(p.free[last].Len())
		p.free[last].Free()
		p.free = p.free[:last]
	}
	p.total += int64(need)
	return p.device.Alloc(need)
}

// release gives blocks back; nil ones are passed over.
func (p *pool) release(blocks ...*block) {
	for _, b := range blocks {
		if b == nil {
			continue
		}
		b.Close()
		if b.buffer != nil {
			p.put(b.buffer)
		}
	}
}

func (p *pool) put(b *ort.Buffer) {
	at, _ := slices.BinarySearchFunc(p.free, b.Len(), func(f *ort.Buffer, n int) int { return f.Len() - n })
	p.free = slices.Insert(p.free, at, b)
}

// trim returns what is not lent to the system; micro-batches of other shapes would not find a use for it.
func (p *pool) trim() {
	for _, b := range p.free {
		p.total -= int64(b.Len())
		b.Free()
	}
	p.free = nil
}
