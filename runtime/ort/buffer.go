package ort

import (
	"fmt"
	"unsafe"
)

// Buffer is memory of a device. It belongs to the caller, who must Free it.
type Buffer struct {
	device Device
	data   unsafe.Pointer // nil once freed
	bytes  int
	pages  []byte // the mapping, for memory of the host
}

// Alloc takes memory from the device, zeroed and aligned to a page at least.
func (d Device) Alloc(bytes int) (*Buffer, error) {
	if bytes < 0 {
		return nil, fmt.Errorf("allocate %d bytes on %s: a size cannot be negative", bytes, d)
	}
	if d.Kind != CPU {
		return nil, fmt.Errorf("allocate %d bytes on %s: not supported yet", bytes, d)
	}
	pages, err := mapPages(max(bytes, 1))
	if err != nil {
		return nil, fmt.Errorf("allocate %d bytes on %s: %w", bytes, d, err)
	}
	live.Add(1)
	return &Buffer{device: d, data: unsafe.Pointer(&pages[0]), bytes: bytes, pages: pages}, nil
}

// Len is the size in bytes that was asked for.
func (b *Buffer) Len() int { return b.bytes }

// Bytes is the memory itself, or nil where the host cannot reach it and after Free.
func (b *Buffer) Bytes() []byte {
	if b.pages == nil {
		return nil
	}
	return b.pages[:b.bytes:b.bytes]
}

// Zero clears the buffer.
func (b *Buffer) Zero() error {
	if b.data == nil {
		return fmt.Errorf("clear a buffer of %d bytes: it was freed", b.bytes)
	}
	clear(b.Bytes())
	return nil
}

// Free gives the memory back. Tensors over it can no longer be used. Freeing twice does nothing.
func (b *Buffer) Free() {
	if b.data == nil {
		return
	}
	unmapPages(b.pages)
	b.data, b.pages = nil, nil
	live.Add(-1)
}
