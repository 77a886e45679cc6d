package ort_test

import (
	"fmt"
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// products are m, n and k of [m,k]·[k,n]: square ones, and those of a step of the 135M shape (hidden 576, MLP 1,536) over four pairs
// of 128+128 and 512+128 tokens: a layer's, a weight's gradient, and a piece of the head.
var products = [][3]int64{{1024, 1024, 1024}, {2048, 2048, 2048}, {1528, 1536, 576}, {1528, 576, 1536}, {3064, 1536, 576}, {1536, 576, 1528}, {1024, 4096, 576}}

// BenchmarkGemm multiplies float32 matrices as fast as ONNX Runtime does alone: the peak that a whole step is held against.
func BenchmarkGemm(b *testing.B) {
	session := gemm(b)
	for _, p := range products {
		m, n, k := p[0], p[1], p[2]
		b.Run(fmt.Sprintf("%dx%dx%d", m, k, n), func(b *testing.B) {
			in := tensors{"x": numbers(b, m, k), "w": numbers(b, k, n)}
			out := tensors{"y": numbers(b, m, n)}
			for b.Loop() {
				if err := session.Run(in, out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(2*m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

// gemm opens a graph of one product.
func gemm(b *testing.B) *ort.Session {
	g, err := onnx.Build("gemm", func(o *onnx.Builder) {
		x := o.Input("x", onnx.Float32, onnx.Sym("M"), onnx.Sym("K"))
		o.Output("y", o.Op("MatMul", []*onnx.Value{x, o.Input("w", onnx.Float32, onnx.Sym("K"), onnx.Sym("N"))}, nil))
	})
	if err != nil {
		b.Fatal(err)
	}
	data, err := g.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	s, err := ort.NewSession(data, ort.Options{Name: "gemm"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// numbers lends a matrix, in large pages where the system has them, of small numbers that are not zero.
func numbers(b *testing.B, rows, columns int64) *ort.Tensor {
	buffer, err := ort.Device{}.Alloc(int(rows*columns) * ort.Float32.Size())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(buffer.Free)
	values := make([]float32, rows*columns)
	for i := range values {
		values[i] = float32(i%13+1) / 16
	}
	t, err := ort.NewTensor(buffer, 0, ort.Float32, rows, columns)
	if err == nil {
		err = t.CopyFromHost(bytesOf(values))
	}
	if err != nil {
		b.Fatal(err)
	}
	return t
}
