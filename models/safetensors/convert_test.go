package safetensors

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// halfValue is the meaning of a half's bits, by the definition of IEEE 754.
func halfValue(h uint16) float64 {
	sign, exp, mant := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)
	switch exp {
	case 0:
		return sign * math.Ldexp(mant, -24)
	case 31:
		if mant != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1024+mant, exp-25)
}

func brainValue(h uint16) float64 { return float64(math.Float32frombits(uint32(h) << 16)) }

func same(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || a == b && math.Signbit(a) == math.Signbit(b)
}

func TestDecodeEvery16BitNumber(t *testing.T) {
	for dtype, value := range map[string]func(uint16) float64{"F16": halfValue, "BF16": brainValue} {
		data, dst := make([]byte, 2<<16), make([]float32, 1<<16)
		for h := range 1 << 16 {
			binary.LittleEndian.PutUint16(data[2*h:], uint16(h))
		}
		if err := Decode(Tensor{DType: dtype, Data: data}, dst); err != nil {
			t.Fatal(err)
		}
		for h, got := range dst {
			if want := value(uint16(h)); !same(float64(got), want) {
				t.Fatalf("%s %#04x is %v, want %v", dtype, h, got, want)
			}
		}
		back := make([]byte, len(data))
		if err := Encode(dst, dtype, back); err != nil {
			t.Fatal(err)
		}
		for h := range 1 << 16 {
			if got := binary.LittleEndian.Uint16(back[2*h:]); got != uint16(h) && !math.IsNaN(value(uint16(h))) {
				t.Fatalf("%s %#04x comes back as %#04x", dtype, h, got)
			}
		}
	}
}

// nearest finds the 16-bit number next to x by search, ties to the even one; the numbers of one sign are in order.
func nearest(x float64, value func(uint16) float64, infinity uint16) uint16 {
	var sign uint16
	if math.Signbit(x) {
		sign = 0x8000
	}
	a := math.Abs(x)
	lo, hi := uint16(0), infinity
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; value(mid) <= a {
			lo = mid
		} else {
			hi = mid
		}
	}
	above := value(hi)
	if hi == infinity { // overflow begins half way to what would be the next number
		above = 2*value(infinity-1) - value(infinity-2)
	}
	switch below := a - value(lo); {
	case math.IsInf(a, 0) || below > above-a || below == above-a && lo%2 == 1:
		return sign | hi
	}
	return sign | lo
}

func TestEncodeRoundsToNearestEven(t *testing.T) {
	hard := []float32{0, float32(math.Copysign(0, -1)), 1, -1, 65504, 65519.996, 65520, 65536, 0x1p-14, 0x1p-24, 0x1p-25, 0x1.000002p-25, 0x1p-26,
		0x1.ffcp-15, 0x1.ffep-15, 0x1.fffp-15, 3 * 0x1p-25, 5 * 0x1p-25, 1 + 0x1p-11, 1 + 3*0x1p-11, 1 + 0x1p-8, 1 + 3*0x1p-8, math.MaxFloat32,
		math.SmallestNonzeroFloat32, 0x1p-126, 0x1p-127, 0x1.ffp127, 0x1.fep127, float32(math.Inf(1)), float32(math.Inf(-1))}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200_000 {
		x := math.Float32frombits(r.Uint32())
		if r.IntN(2) == 0 { // in the range of halves
			x = float32(math.Ldexp(r.Float64()*2-1, r.IntN(44)-27))
		}
		if x == x {
			hard = append(hard, x)
		}
	}
	for dtype, c := range map[string]struct {
		value    func(uint16) float64
		infinity uint16
	}{"F16": {halfValue, 0x7c00}, "BF16": {brainValue, 0x7f80}} {
		data := make([]byte, 2*len(hard))
		if err := Encode(hard, dtype, data); err != nil {
			t.Fatal(err)
		}
		for i, x := range hard {
			got, want := binary.LittleEndian.Uint16(data[2*i:]), nearest(float64(x), c.value, c.infinity)
			if got != want {
				t.Errorf("%s of %v (%#08x) is %#04x, want %#04x", dtype, x, math.Float32bits(x), got, want)
			}
		}
	}
}

func TestNaNStaysNaN(t *testing.T) {
	for _, bits := range []uint32{0x7fc00000, 0x7f800001, 0xffffffff, 0x7fffffff, 0xff800001} {
		for _, dtype := range []string{"F16", "BF16", "F32", "F64"} {
			size, _ := floatSize(dtype)
			data, back := make([]byte, size), make([]float32, 1)
			if err := Encode([]float32{math.Float32frombits(bits)}, dtype, data); err != nil {
				t.Fatal(err)
			}
			if err := Decode(Tensor{DType: dtype, Data: data}, back); err != nil {
				t.Fatal(err)
			}
			if back[0] == back[0] || math.Float32bits(back[0])>>31 != bits>>31 {
				t.Errorf("%s of NaN %#08x comes back as %#08x", dtype, bits, math.Float32bits(back[0]))
			}
		}
	}
}

func TestWideTypes(t *testing.T) {
	data := binary.LittleEndian.AppendUint64(nil, math.Float64bits(1+0x1p-24)) // half way: to the even 1
	data = binary.LittleEndian.AppendUint64(data, math.Float64bits(-1e300))
	dst := make([]float32, 2)
	if err := Decode(Tensor{DType: "F64", Data: data}, dst); err != nil || dst[0] != 1 || !math.IsInf(float64(dst[1]), -1) {
		t.Errorf("F64: %v %v", dst, err)
	}
	for dtype, size := range map[string]int{"F32": 4, "F64": 8} {
		src, back := []float32{math.Pi, -math.SmallestNonzeroFloat32}, make([]float32, 2)
		buf := make([]byte, 2*size)
		if err := errors.Join(Encode(src, dtype, buf), Decode(Tensor{DType: dtype, Data: buf}, back)); err != nil || back[0] != src[0] || back[1] != src[1] {
			t.Errorf("%s: %v comes back as %v, %v", dtype, src, back, err)
		}
	}
}

func TestConversionErrors(t *testing.T) {
	if err := Decode(Tensor{DType: "I64", Data: make([]byte, 8)}, make([]float32, 1)); !errors.Is(err, ErrDType) {
		t.Errorf("decode I64: %v", err)
	}
	if err := Encode(make([]float32, 1), "F8_E4M3", make([]byte, 1)); !errors.Is(err, ErrDType) {
		t.Errorf("encode F8: %v", err)
	}
	if err := Decode(Tensor{DType: "F16", Data: make([]byte, 3)}, make([]float32, 1)); !errors.Is(err, ErrSize) {
		t.Errorf("decode 3 bytes: %v", err)
	}
	if err := Encode(make([]float32, 2), "F32", make([]byte, 4)); !errors.Is(err, ErrSize) {
		t.Errorf("encode into 4 bytes: %v", err)
	}
}

func BenchmarkDecode(b *testing.B) {
	const n = 1 << 20
	dst, data := make([]float32, n), make([]byte, 8*n)
	for _, dtype := range []string{"F32", "F16", "BF16"} {
		size, _ := floatSize(dtype)
		b.Run(dtype, func(b *testing.B) {
			b.SetBytes(int64(4 * n))
			for range b.N {
				if err := Decode(Tensor{DType: dtype, Data: data[:size*n]}, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
