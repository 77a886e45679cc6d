package ort

import (
	"errors"
	"fmt"
	"unsafe"
)

// #include "bridge.h"
import "C"

// Buffer is memory of a device. It belongs to the caller, who must Free it.
type Buffer struct {
	device *C.bridge_device
	data   unsafe.Pointer // what tensors' addresses are; nil once freed
	native unsafe.Pointer // the same place as ONNX Runtime is told it: another address only where the memory is guarded
	bytes  int
	pages  []byte  // the mapping, where this is memory of the host
	hidden *hidden // where it is guarded
}

// Alloc takes memory from the device, zeroed and aligned to a page at least on the CPU. There it becomes resident only
// as it is touched.
func (d Device) Alloc(bytes int) (*Buffer, error) {
	b, err := d.alloc(bytes)
	if err != nil {
		return nil, fmt.Errorf("allocate %d bytes on %s: %w", bytes, d, err)
	}
	live.Add(1)
	return b, nil
}

func (d Device) alloc(bytes int) (*Buffer, error) {
	if bytes < 0 {
		return nil, errors.New("a size cannot be negative")
	}
	native, err := d.open()
	if err != nil {
		return nil, err
	}
	b := &Buffer{device: native, bytes: bytes}
	switch d.Kind {
	case CPU:
		if b.pages, err = mapPages(max(bytes, 1)); err != nil {
			return nil, err
		}
		b.data = unsafe.Pointer(&b.pages[0])
		b.native = b.data
		return b, nil
	case Guarded:
		if b.hidden, err = hide(max(bytes, 1)); err != nil {
			return nil, err
		}
		b.data, b.native = unsafe.Pointer(&b.hidden.fence[0]), unsafe.Pointer(&b.hidden.memory[0])
		return b, nil
	}
	if err := check(C.bridge_alloc(native, C.size_t(max(bytes, 1)), &b.data)); err != nil {
		return nil, err
	}
	b.native = b.data
	if err := b.copyZeros(0, b.bytes); err != nil {
		b.release()
		return nil, err
	}
	return b, nil
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
		return fmt.Errorf("clear a buffer of %d bytes: %w", b.bytes, errFreed)
	}
	if b.pages != nil {
		clear(b.Bytes())
		return nil
	}
	if err := b.copyZeros(0, b.bytes); err != nil {
		return fmt.Errorf("clear a buffer of %d bytes: %w", b.bytes, err)
	}
	return nil
}

// zeros is what devices are cleared from: the C API has no call that fills memory.
var zeros [1 << 20]byte

// copyZeros copies zeros to the device, and there twice as many as there are, again and again.
func (b *Buffer) copyZeros(first, last int) error {
	done := min(len(zeros), last-first)
	if done <= 0 {
		return nil
	}
	if err := b.copyIn(first, zeros[:done]); err != nil {
		return err
	}
	for done < last-first {
		n := min(done, last-first-done)
		from, to := unsafe.Add(b.native, first), unsafe.Add(b.native, first+done)
		if err := check(C.bridge_copy(to, b.device.memory, from, b.device.memory, C.size_t(n))); err != nil {
			return err
		}
		done += n
	}
	return nil
}

// copyIn and copyOut copy between the buffer from an offset on and host memory.
func (b *Buffer) copyIn(at int, from []byte) error {
	host := C.bridge_host()
	return check(C.bridge_copy(unsafe.Add(b.native, at), b.device.memory, ptr(&from[0]), host.memory, C.size_t(len(from))))
}

func (b *Buffer) copyOut(at int, to []byte) error {
	host := C.bridge_host()
	return check(C.bridge_copy(ptr(&to[0]), host.memory, unsafe.Add(b.native, at), b.device.memory, C.size_t(len(to))))
}

// Free gives the memory back. Tensors over it can no longer be used. Freeing twice does nothing.
func (b *Buffer) Free() {
	if b.data == nil {
		return
	}
	b.release()
	live.Add(-1)
}

func (b *Buffer) release() {
	switch {
	case b.pages != nil:
		unmapPages(b.pages)
	case b.hidden != nil:
		b.hidden.release()
	default:
		C.bridge_dealloc(b.device, b.data)
	}
	b.data, b.native, b.pages, b.hidden = nil, nil, nil, nil
}
