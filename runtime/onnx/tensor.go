package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Tensor is a constant: Data holds the elements in row-major order, little-endian. Strings are kept apart.
type Tensor struct {
	Type     DType
	Dims     []int64
	Data     []byte
	Strings  []string
	External *External // where the elements lie instead of in Data; nil for there
}

// External is the part of a file beside the model's that holds a tensor's elements, in bytes.
type External struct {
	Location       string // relative to the model's folder
	Offset, Length int64
}

// Count is the number of elements.
func (t *Tensor) Count() int64 {
	n := int64(1)
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// IntTensor is a vector of int64; with no dims given, of the length of values.
func IntTensor(values []int64, dims ...int64) *Tensor {
	if dims == nil {
		dims = []int64{int64(len(values))}
	}
	t := &Tensor{Type: Int64, Dims: dims, Data: make([]byte, 0, 8*len(values))}
	for _, v := range values {
		t.Data = binary.LittleEndian.AppendUint64(t.Data, uint64(v))
	}
	return t
}

// FloatTensor holds values rounded to type t: Float32, Float64, Float16 or BFloat16.
func FloatTensor(t DType, values []float64, dims ...int64) (*Tensor, error) {
	if dims == nil {
		dims = []int64{int64(len(values))}
	}
	out := &Tensor{Type: t, Dims: dims, Data: make([]byte, 0, t.Size()*len(values))}
	for _, v := range values {
		switch t {
		case Float32:
			out.Data = binary.LittleEndian.AppendUint32(out.Data, math.Float32bits(float32(v)))
		case Float64:
			out.Data = binary.LittleEndian.AppendUint64(out.Data, math.Float64bits(v))
		case BFloat16:
			bits := math.Float32bits(float32(v))
			bits += 0x7fff + bits>>16&1
			out.Data = binary.LittleEndian.AppendUint16(out.Data, uint16(bits>>16))
		case Float16:
			out.Data = binary.LittleEndian.AppendUint16(out.Data, float16bits(v))
		default:
			return nil, fmt.Errorf("constant of type %s: not a floating-point type", t)
		}
	}
	return out, nil
}

// float16bits rounds v to half precision, to nearest even.
func float16bits(v float64) uint16 {
	sign := uint16(math.Float64bits(v) >> 48 & 0x8000)
	a := math.Abs(v)
	switch {
	case math.IsNaN(v):
		return sign | 0x7e00
	case a >= 65520: // half way between the largest half and the next power of two
		return sign | 0x7c00
	case a < 0x1p-14:
		return sign | uint16(math.RoundToEven(a*0x1p24))
	}
	frac, exp := math.Frexp(a) // a = frac·2^exp, frac in [0.5, 1)
	mant := math.RoundToEven(frac * 2048)
	return sign | uint16((exp+14)<<10) + uint16(mant) - 1024
}

// float16value is the number that a half has: sign, five bits of exponent, ten of mantissa.
func float16value(bits uint16) float64 {
	exp, mant := int(bits>>10&31), float64(bits&1023)
	v := math.Ldexp(1024+mant, exp-25)
	switch {
	case exp == 0:
		v = mant * 0x1p-24
	case exp == 31 && mant == 0:
		v = math.Inf(1)
	case exp == 31:
		v = math.NaN()
	}
	return math.Copysign(v, 1-2*float64(bits>>15))
}

// Ints returns the elements of an integer tensor.
func (t *Tensor) Ints() ([]int64, error) {
	n := int(t.Count())
	if t.Type.Size() == 0 || len(t.Data) != n*t.Type.Size() {
		return nil, fmt.Errorf("integers of a %s tensor %v: %d bytes of data", t.Type, t.Dims, len(t.Data))
	}
	out := make([]int64, n)
	for i := range out {
		switch t.Type {
		case Int64:
			out[i] = int64(binary.LittleEndian.Uint64(t.Data[8*i:]))
		case Int32:
			out[i] = int64(int32(binary.LittleEndian.Uint32(t.Data[4*i:])))
		default:
			return nil, fmt.Errorf("integers of a %s tensor: not an integer type", t.Type)
		}
	}
	return out, nil
}

// Floats returns the elements of a numeric tensor.
func (t *Tensor) Floats() ([]float64, error) {
	n := int(t.Count())
	if t.Type.Size() == 0 || len(t.Data) != n*t.Type.Size() {
		return nil, fmt.Errorf("numbers of a %s tensor %v: %d bytes of data", t.Type, t.Dims, len(t.Data))
	}
	out := make([]float64, n)
	for i := range out {
		at := t.Data[i*t.Type.Size():]
		switch t.Type {
		case Float32:
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(at)))
		case Float64:
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(at))
		case BFloat16:
			out[i] = float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(at)) << 16))
		case Float16:
			out[i] = float16value(binary.LittleEndian.Uint16(at))
		case Int64:
			out[i] = float64(int64(binary.LittleEndian.Uint64(at)))
		case Int32:
			out[i] = float64(int32(binary.LittleEndian.Uint32(at)))
		case Bool, Uint8:
			out[i] = float64(at[0])
		default:
			return nil, fmt.Errorf("numbers of a %s tensor: not supported", t.Type)
		}
	}
	return out, nil
}
