package ort

import (
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// Tensor is memory seen as a row-major array. It owns nothing: it is a view over part of a Buffer or of host memory.
type Tensor struct {
	DType DType
	Shape []int64 // not to be changed: it was checked against the memory

	bytes  int
	data   unsafe.Pointer // never nil while open, so that empty tensors have an address too
	buffer *Buffer        // nil over memory that the caller holds
	offset int            // in the buffer
	host   []byte         // keeps a Go slice alive; nil over a Buffer
	closed bool
}

// NewTensor is a view of buffer from offset bytes on. The buffer must hold the whole shape, and the offset must be a
// multiple of the element's size. A dim may be 0.
func NewTensor(b *Buffer, offset int, t DType, shape ...int64) (*Tensor, error) {
	if b == nil || b.data == nil {
		return nil, fmt.Errorf("tensor %s%v over a buffer: the buffer was freed", t, shape)
	}
	n, err := size(t, shape)
	if err != nil {
		return nil, err
	}
	if offset < 0 || offset > b.bytes || n > b.bytes-offset || offset%t.Size() != 0 {
		return nil, fmt.Errorf("tensor %s%v over a buffer: %d bytes at offset %d do not fit its %d, or are not aligned",
			t, shape, n, offset, b.bytes)
	}
	return &Tensor{DType: t, Shape: slices.Clone(shape), bytes: n, data: unsafe.Add(b.data, offset), buffer: b, offset: offset}, nil
}

// HostTensor is a view of exactly the bytes of data: a Go slice, a mapped file, or C memory. Mapped and C memory must
// stay valid until the tensor is closed. On another device than the CPU, a Run copies it there.
func HostTensor(data []byte, t DType, shape ...int64) (*Tensor, error) {
	n, err := size(t, shape)
	if err != nil {
		return nil, err
	}
	if n != len(data) {
		return nil, fmt.Errorf("tensor %s%v over host memory: it takes %d bytes, there are %d", t, shape, n, len(data))
	}
	at := unsafe.Pointer(unsafe.SliceData(data))
	if n == 0 {
		at = unsafe.Pointer(&empty)
	}
	if uintptr(at)%uintptr(t.Size()) != 0 {
		return nil, fmt.Errorf("tensor %s%v over host memory: its address is not a multiple of %d bytes", t, shape, t.Size())
	}
	return &Tensor{DType: t, Shape: slices.Clone(shape), bytes: n, data: at, host: data}, nil
}

// Rows is a view of rows first to last, exclusive, of the first dimension.
func (t *Tensor) Rows(first, last int64) (*Tensor, error) {
	if err := t.usable(); err != nil {
		return nil, fmt.Errorf("rows of tensor %s%v: %w", t.DType, t.Shape, err)
	}
	if len(t.Shape) == 0 || first < 0 || first > last || last > t.Shape[0] {
		return nil, fmt.Errorf("rows %d to %d of tensor %s%v: there are none such", first, last, t.DType, t.Shape)
	}
	row := t.bytes / int(max(t.Shape[0], 1))
	shape := append([]int64{last - first}, t.Shape[1:]...)
	if t.buffer != nil {
		return NewTensor(t.buffer, t.offset+int(first)*row, t.DType, shape...)
	}
	return HostTensor(t.host[int(first)*row:int(last)*row], t.DType, shape...)
}

// Flat is a view of elements first to last, exclusive, as a vector.
func (t *Tensor) Flat(first, last int64) (*Tensor, error) {
	whole := *t
	whole.Shape = []int64{int64(t.bytes / t.DType.Size())}
	return whole.Rows(first, last)
}

// empty is the address of tensors that have no bytes.
var empty [8]byte

// size is the bytes that a shape takes.
func size(t DType, shape []int64) (int, error) {
	n := int64(t.Size())
	if n == 0 {
		return 0, fmt.Errorf("tensor %s%v: its elements have no fixed size", t, shape)
	}
	zero := slices.Contains(shape, 0)
	for _, d := range shape {
		if d < 0 || !zero && d > math.MaxInt64/n {
			return 0, fmt.Errorf("tensor %s%v: dim %d is negative or too large", t, shape, d)
		}
		n *= max(d, 1)
	}
	if zero {
		return 0, nil
	}
	return int(n), nil
}

// Len is the size in bytes.
func (t *Tensor) Len() int { return t.bytes }

// Bytes is the tensor's memory, or nil where the host cannot reach it.
func (t *Tensor) Bytes() []byte {
	if t.usable() != nil || t.buffer != nil && t.buffer.pages == nil {
		return nil
	}
	return unsafe.Slice((*byte)(t.data), t.bytes)
}

// Float32s is the memory of a tensor of float32, or nil as Bytes is.
func (t *Tensor) Float32s() []float32 {
	host := t.Bytes()
	if len(host) == 0 || t.DType != Float32 {
		return nil
	}
	return unsafe.Slice((*float32)(ptr(&host[0])), len(host)/Float32.Size())
}

// Zero clears the tensor.
func (t *Tensor) Zero() error {
	err := t.usable()
	if host := t.Bytes(); err == nil && host != nil {
		clear(host)
	} else if err == nil && t.bytes > 0 {
		err = t.buffer.copyZeros(t.offset, t.offset+t.bytes)
	}
	if err != nil {
		return fmt.Errorf("clear tensor %s%v: %w", t.DType, t.Shape, err)
	}
	return nil
}

// CopyFromHost fills the tensor with data of its size.
func (t *Tensor) CopyFromHost(data []byte) error {
	err := t.copyable(data)
	if host := t.Bytes(); err == nil && host != nil {
		copy(host, data)
	} else if err == nil && t.bytes > 0 {
		err = t.buffer.copyIn(t.offset, data)
	}
	if err != nil {
		return fmt.Errorf("copy to tensor %s%v: %w", t.DType, t.Shape, err)
	}
	return nil
}

// CopyToHost fills data, which has the tensor's size, from the tensor.
func (t *Tensor) CopyToHost(data []byte) error {
	err := t.copyable(data)
	if host := t.Bytes(); err == nil && host != nil {
		copy(data, host)
	} else if err == nil && t.bytes > 0 {
		err = t.buffer.copyOut(t.offset, data)
	}
	if err != nil {
		return fmt.Errorf("copy from tensor %s%v: %w", t.DType, t.Shape, err)
	}
	return nil
}

// native is the tensor's address as ONNX Runtime is told it.
func (t *Tensor) native() unsafe.Pointer {
	if t.buffer == nil {
		return t.data
	}
	return unsafe.Add(t.buffer.native, t.offset)
}

func (t *Tensor) copyable(data []byte) error {
	if err := t.usable(); err != nil {
		return err
	}
	if len(data) != t.bytes {
		return fmt.Errorf("it has %d bytes, the host's memory %d", t.bytes, len(data))
	}
	return nil
}

// Close ends the view. Its memory may then serve others; use of the tensor is an error rather than a silent read of
// what they wrote.
func (t *Tensor) Close() {
	t.closed, t.host = true, nil
}

func (t *Tensor) usable() error {
	switch {
	case t.closed:
		return errClosed
	case t.buffer != nil && t.buffer.data == nil:
		return errFreed
	}
	return nil
}
