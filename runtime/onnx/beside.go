package onnx

import (
	"fmt"
	"io"
)

// page is where what is larger begins in a file of tensors, so that it can be mapped.
const page = 4096

// Beside lays tensors out in a file beside a model's, one behind the other. A model of 2 GiB or more cannot hold its tensors itself.
type Beside struct {
	Location string // the file's name
	size     int64
	written  int64
}

// Size is that of the file, in bytes.
func (b *Beside) Size() int64 { return b.size }

// Place is a tensor that takes the next part of the file.
func (b *Beside) Place(t DType, dims ...int64) *Tensor {
	placed := &Tensor{Type: t, Dims: dims}
	length := placed.Count() * int64(t.Size())
	if length > page {
		b.size = (b.size + page - 1) / page * page
	}
	placed.External = &External{Location: b.Location, Offset: b.size, Length: length}
	b.size += length
	return placed
}

// Write writes a tensor's elements, in the order in which tensors were placed.
func (b *Beside) Write(w io.Writer, t *Tensor, data []byte) error {
	if int64(len(data)) != t.External.Length || t.External.Offset < b.written {
		return fmt.Errorf("write %s: %d bytes for a tensor of %d at %d, after %d", b.Location, len(data), t.External.Length, t.External.Offset, b.written)
	}
	for _, part := range [][]byte{make([]byte, t.External.Offset-b.written), data} {
		n, err := w.Write(part)
		b.written += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}
