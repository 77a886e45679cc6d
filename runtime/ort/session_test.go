package ort_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

type tensors = map[string]*ort.Tensor

// open opens a model of testdata.
func open(t testing.TB, name string) *ort.Session {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ort.NewSession(data, ort.Options{Name: name, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// bytesOf sees a slice of numbers as bytes.
func bytesOf[T any](values []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(one)))
}

// host makes a tensor over a Go slice.
func host[T any](t testing.TB, d ort.DType, values []T, shape ...int64) *ort.Tensor {
	t.Helper()
	x, err := ort.HostTensor(bytesOf(values), d, shape...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

func floats(t testing.TB, values []float32, shape ...int64) *ort.Tensor {
	return host(t, ort.Float32, values, shape...)
}

func TestRunAddsInEachType(t *testing.T) {
	t.Run("float32", func(t *testing.T) { add(t, "add_float", ort.Float32, []float32{1, 2, 3, 4}) })
	t.Run("float64", func(t *testing.T) { add(t, "add_double", ort.Float64, []float64{1, 1e-300, math.Pi, 4}) })
	t.Run("int64", func(t *testing.T) { add(t, "add_int64", ort.Int64, []int64{1 << 60, -2, 3, 4}) })
	t.Run("int32", func(t *testing.T) { add(t, "add_int32", ort.Int32, []int32{1 << 29, -2, 3, 4}) })
}

func add[T int32 | int64 | float32 | float64](t *testing.T, model string, d ort.DType, x []T) {
	s := open(t, model)
	z := make([]T, 4)
	err := s.Run(tensors{"x": host(t, d, x, 2, 2), "y": host(t, d, x, 2, 2)}, tensors{"z": host(t, d, z, 2, 2)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range z {
		if z[i] != 2*x[i] {
			t.Errorf("element %d is %v, not %v", i, z[i], 2*x[i])
		}
	}
}

func TestRunChecksTensors(t *testing.T) {
	s := open(t, "add_float")
	ok := func() *ort.Tensor { return floats(t, make([]float32, 4), 2, 2) }
	closed := ok()
	closed.Close()
	for name, c := range map[string]struct {
		in, out tensors
		want    []string
	}{
		"missing input":  {tensors{"x": ok()}, tensors{"z": ok()}, []string{"add_float", "input y", "no tensor"}},
		"extra input":    {tensors{"x": ok(), "y": ok(), "w": ok()}, tensors{"z": ok()}, []string{"no input w"}},
		"missing output": {tensors{"x": ok(), "y": ok()}, nil, []string{"output z", "no tensor"}},
		"extra output":   {tensors{"x": ok(), "y": ok()}, tensors{"z": ok(), "a": ok()}, []string{"no output a"}},
		"type": {tensors{"x": host(t, ort.Int64, make([]int64, 4), 2, 2), "y": ok()}, tensors{"z": ok()},
			[]string{"input x", "int64", "float32"}},
		"rank":   {tensors{"x": floats(t, make([]float32, 4), 4), "y": ok()}, tensors{"z": ok()}, []string{"input x", "[4]"}},
		"dim":    {tensors{"x": floats(t, make([]float32, 3), 1, 3), "y": ok()}, tensors{"z": ok()}, []string{"[1 3]", "[-1 2]"}},
		"closed": {tensors{"x": closed, "y": ok()}, tensors{"z": ok()}, []string{"input x", "closed"}},
		"all at once": {nil, tensors{"z": floats(t, make([]float32, 4), 4)},
			[]string{"input x", "input y", "output z"}},
		"output of another size": {tensors{"x": ok(), "y": ok()}, tensors{"z": floats(t, make([]float32, 6), 3, 2)},
			[]string{"add_float", "z"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Run(c.in, c.out)
			if err == nil {
				t.Fatal("Run gave no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func TestRunInPlace(t *testing.T) {
	s := open(t, "accumulate")
	acc := floats(t, []float32{10, 20}, 2)
	in := tensors{"x": floats(t, []float32{1, 2, 3, 4}, 2, 2), "dy": floats(t, []float32{1, 1, 2, 2}, 2, 2), "acc": acc}
	for range 2 {
		if err := s.Run(in, tensors{"d": acc}); err != nil {
			t.Fatal(err)
		}
	}
	if got := unsafe.Slice((*float32)(unsafe.Pointer(&acc.Bytes()[0])), 2); !slices.Equal(got, []float32{24, 40}) {
		t.Errorf("accumulated %v", got)
	}
}

// Rows see the same memory, over host memory and over a buffer, and only rows that are there.
func TestRowsAreViews(t *testing.T) {
	buffer, err := ort.Device{}.Alloc(24)
	if err != nil {
		t.Fatal(err)
	}
	defer buffer.Free()
	lent, err := ort.NewTensor(buffer, 0, ort.Float32, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, whole := range []*ort.Tensor{lent, floats(t, make([]float32, 6), 3, 2)} {
		part, err := whole.Rows(1, 3)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(part.Shape, []int64{2, 2}) || &part.Bytes()[0] != &whole.Bytes()[8] || part.Len() != 16 {
			t.Errorf("rows 1 to 3 of a tensor of 3 are %v, %d bytes", part.Shape, part.Len())
		}
		for _, wrong := range [][2]int64{{-1, 1}, {2, 1}, {0, 4}} {
			if _, err := whole.Rows(wrong[0], wrong[1]); err == nil {
				t.Errorf("rows %v of a tensor of 3 were given", wrong)
			}
		}
	}
}
