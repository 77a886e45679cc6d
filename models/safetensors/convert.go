package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Decode converts t's elements to float32: F32, F16 and BF16 exactly, F64 rounded to nearest, ties to even. dst must have
// as many elements as t.
func Decode(t Tensor, dst []float32) error {
	size, err := floatSize(t.DType)
	if err != nil {
		return fmt.Errorf("decode a tensor: %w", err)
	}
	if len(t.Data) != size*len(dst) {
		return fmt.Errorf("decode a tensor: %w: %d bytes of %s for %d elements", ErrSize, len(t.Data), t.DType, len(dst))
	}
	le := binary.LittleEndian
	switch t.DType {
	case "F32":
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(t.Data[4*i:]))
		}
	case "F64":
		for i := range dst {
			dst[i] = float32(math.Float64frombits(le.Uint64(t.Data[8*i:])))
		}
	case "F16":
		for i := range dst {
			dst[i] = fromHalf(le.Uint16(t.Data[2*i:]))
		}
	case "BF16":
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(le.Uint16(t.Data[2*i:])) << 16)
		}
	}
	return nil
}

// Encode converts src to elements of dtype (F32, F64, F16 or BF16), rounded to nearest, ties to even; what is too large
// for F16 or BF16 becomes infinite, and a NaN stays one. dst must have room for exactly len(src) of them.
func Encode(src []float32, dtype string, dst []byte) error {
	size, err := floatSize(dtype)
	if err != nil {
		return fmt.Errorf("encode a tensor: %w", err)
	}
	if len(dst) != size*len(src) {
		return fmt.Errorf("encode a tensor: %w: %d bytes of %s for %d elements", ErrSize, len(dst), dtype, len(src))
	}
	le := binary.LittleEndian
	switch dtype {
	case "F32":
		for i, x := range src {
			le.PutUint32(dst[4*i:], math.Float32bits(x))
		}
	case "F64":
		for i, x := range src {
			le.PutUint64(dst[8*i:], math.Float64bits(float64(x)))
		}
	case "F16":
		for i, x := range src {
			le.PutUint16(dst[2*i:], toHalf(x))
		}
	case "BF16":
		for i, x := range src {
			le.PutUint16(dst[2*i:], toBrain(x))
		}
	}
	return nil
}

func floatSize(dtype string) (int, error) {
	switch dtype {
	case "F64":
		return 8, nil
	case "F32":
		return 4, nil
	case "F16", "BF16":
		return 2, nil
	}
	return 0, fmt.Errorf("%w %q: F32, F64, F16 and BF16 are numbers that can be converted", ErrDType, dtype)
}

// fromHalf shifts exponent and mantissa into place and scales by the difference of the biases, 127 − 15: the product is
// exact, for subnormals too.
func fromHalf(h uint16) float32 {
	sign, bits := uint32(h&0x8000)<<16, uint32(h&0x7fff)<<13
	if h&0x7c00 == 0x7c00 {
		return math.Float32frombits(sign | 0x7f800000 | bits)
	}
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(bits)*0x1p112))
}

func toHalf(x float32) uint16 {
	bits := math.Float32bits(x)
	sign, a := uint16(bits>>16&0x8000), bits&0x7fffffff
	switch {
	case a > 0x7f800000: // NaN, made quiet
		return sign | 0x7e00 | uint16(a>>13&0x1ff)
	case a >= 0x477ff000: // 65520, half way between the largest half and the next power of two
		return sign | 0x7c00
	case a < 0x38800000: // below 2^-14: adding 2^-1, whose last bit stands for 2^-24, rounds to a multiple of it
		return sign | uint16(math.Float32bits(math.Float32frombits(a)+0.5)-0x3f000000)
	}
	a += 0xfff + a>>13&1
	return sign | uint16((a-0x38000000)>>13)
}

func toBrain(x float32) uint16 {
	bits := math.Float32bits(x)
	if bits&0x7fffffff > 0x7f800000 { // NaN, made quiet: rounding could carry it into the exponent
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
