package golden

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"testing"
)

// Tensor is a named array of reference numbers.
type Tensor struct {
	Shape  []int64
	Values []float64
}

// Tensors reads all F64 and F32 tensors of a safetensors file. It has a reader of its own, and a trusting one, so that the
// tests of models/safetensors can use this package too.
func Tensors(t testing.TB, path string) map[string]Tensor {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read reference numbers: %v", err)
	}
	tensors, err := decode(data)
	if err != nil {
		t.Fatalf("read reference numbers %s: %v", path, err)
	}
	return tensors
}

func decode(data []byte) (map[string]Tensor, error) {
	if len(data) < 8 || uint64(len(data)-8) < binary.LittleEndian.Uint64(data) {
		return nil, errors.New("no safetensors file")
	}
	n := binary.LittleEndian.Uint64(data)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		return nil, err
	}
	delete(header, "__metadata__")
	tensors := make(map[string]Tensor, len(header))
	for name, raw := range header {
		tensor, err := decodeTensor(raw, data[8+n:])
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		tensors[name] = tensor
	}
	return tensors, nil
}

func decodeTensor(header []byte, data []byte) (Tensor, error) {
	var h struct {
		DType   string   `json:"dtype"`
		Shape   []int64  `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(header, &h); err != nil {
		return Tensor{}, err
	}
	begin, end := h.Offsets[0], h.Offsets[1]
	if begin < 0 || end < begin || end > int64(len(data)) {
		return Tensor{}, errors.New("lies outside the file")
	}
	values, err := floats(h.DType, data[begin:end])
	count := int64(1)
	for _, d := range h.Shape {
		count *= d
	}
	if err == nil && count != int64(len(values)) {
		err = fmt.Errorf("shape %v and %d values", h.Shape, len(values))
	}
	return Tensor{h.Shape, values}, err
}

func floats(dtype string, data []byte) ([]float64, error) {
	le := binary.LittleEndian
	var out []float64
	switch dtype {
	case "F64":
		for ; len(data) >= 8; data = data[8:] {
			out = append(out, math.Float64frombits(le.Uint64(data)))
		}
	case "F32":
		for ; len(data) >= 4; data = data[4:] {
			out = append(out, float64(math.Float32frombits(le.Uint32(data))))
		}
	default:
		return nil, fmt.Errorf("element type %s: reference numbers are F64 or F32", dtype)
	}
	return out, nil
}
