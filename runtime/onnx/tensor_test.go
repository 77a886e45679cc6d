package onnx_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Every number that half precision has is read as what it is, and written as it was.
func TestHalfPrecision(t *testing.T) {
	var data []byte
	for bits := range 1 << 16 {
		data = binary.LittleEndian.AppendUint16(data, uint16(bits))
	}
	values, err := (&onnx.Tensor{Type: onnx.Float16, Dims: []int64{1 << 16}, Data: data}).Floats()
	if err != nil {
		t.Fatal(err)
	}
	for bits, want := range map[int]float64{0: 0, 1: 0x1p-24, 0x3ff: 1023 * 0x1p-24, 0x400: 0x1p-14, 0x3c00: 1, 0x3c01: 1 + 0x1p-10, 0x7bff: 65504,
		0x7c00: math.Inf(1), 0xfc00: math.Inf(-1), 0xc000: -2} {
		if values[bits] != want {
			t.Errorf("%#04x is read as %v, want %v", bits, values[bits], want)
		}
	}
	back, err := onnx.FloatTensor(onnx.Float16, values)
	if err != nil {
		t.Fatal(err)
	}
	for bits, v := range values {
		if got := int(binary.LittleEndian.Uint16(back.Data[2*bits:])); got != bits && !(math.IsNaN(v) && got&0x7c00 == 0x7c00 && got&0x3ff != 0) {
			t.Fatalf("%#04x is read as %v and written as %#04x", bits, v, got)
		}
	}
}
