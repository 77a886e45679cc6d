package engine

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Array is a tensor in host memory: row-major, little-endian.
type Array struct {
	Type  onnx.DType
	Shape []int64
	Data  []byte
}

// Int64s is an array of indices.
func Int64s(values []int64, shape ...int64) Array {
	a := Array{Type: onnx.Int64, Shape: shape, Data: make([]byte, 0, 8*len(values))}
	for _, v := range values {
		a.Data = binary.LittleEndian.AppendUint64(a.Data, uint64(v))
	}
	return a
}

// Int32s is an array of lengths.
func Int32s(values []int32, shape ...int64) Array {
	a := Array{Type: onnx.Int32, Shape: shape, Data: make([]byte, 0, 4*len(values))}
	for _, v := range values {
		a.Data = binary.LittleEndian.AppendUint32(a.Data, uint32(v))
	}
	return a
}

// Floats is an array of values rounded to t, a floating-point type.
func Floats(t onnx.DType, values []float64, shape ...int64) Array {
	tensor, err := onnx.FloatTensor(t, values)
	if err != nil {
		panic(err)
	}
	return Array{Type: t, Shape: shape, Data: tensor.Data}
}

// Batch is a micro-batch as tensors: what the graphs' inputs are called, and the sizes of their symbols. What is scored,
// token by token, stays with the host.
type Batch struct {
	Sizes    map[string]int64 // T, G, K, P, C, N, R
	Inputs   map[string]Array
	Targets  []int64   // [R]: the scored tokens
	Sequence []int64   // [R]: whose they are, from 0 to N−1
	Weight   []float64 // [R]: of each in its sequence's sum; nil for 1

	// Fault is why the model cannot run it; nil for nothing.
	Fault error

	// Variant names, for a stage's graph, the one that runs instead where the artifact has it; nil for none.
	Variant func(graph string) string

	// Fused does so for stages' forward passes that keep nothing.
	Fused func(graph string) string
}

// weight of a scored token.
func (b *Batch) weight(r int) float64 {
	if b.Weight == nil {
		return 1
	}
	return b.Weight[r]
}

// check reports a batch that lacks what every decoder needs.
func (b *Batch) check() error {
	if b.Fault != nil {
		return fmt.Errorf("run a batch: %w", b.Fault)
	}
	for _, s := range []string{"T", "N", "R"} {
		if b.Sizes[s] <= 0 {
			return fmt.Errorf("run a batch: size %s is %d", s, b.Sizes[s])
		}
	}
	if n := b.Sizes["R"]; int64(len(b.Targets)) != n || int64(len(b.Sequence)) != n || b.Weight != nil && int64(len(b.Weight)) != n {
		return fmt.Errorf("run a batch: %d targets of %d sequences with %d weights for %d scored tokens", len(b.Targets), len(b.Sequence), len(b.Weight), n)
	}
	return nil
}

// Floats reads float32 or float64 elements.
func (a Array) Floats() []float64 {
	out := make([]float64, len(a.Data)/a.Type.Size())
	for i := range out {
		if a.Type == onnx.Float64 {
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(a.Data[8*i:]))
		} else {
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(a.Data[4*i:])))
		}
	}
	return out
}
