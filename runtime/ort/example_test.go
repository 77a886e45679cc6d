package ort_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"

	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

func Example() {
	model, err := os.ReadFile("testdata/add_float.onnx")
	if err != nil {
		panic(err)
	}
	s, err := ort.NewSession(model, ort.Options{Name: "add", Threads: 1})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	numbers := func(values ...float32) *ort.Tensor {
		var data []byte
		for _, v := range values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		t, err := ort.HostTensor(data, ort.Float32, 1, int64(len(values)))
		if err != nil {
			panic(err)
		}
		return t
	}
	z := numbers(0, 0)
	if err := s.Run(map[string]*ort.Tensor{"x": numbers(1, 2), "y": numbers(10, 20)}, map[string]*ort.Tensor{"z": z}); err != nil {
		panic(err)
	}
	for at := 0; at < z.Len(); at += 4 {
		fmt.Println(math.Float32frombits(binary.LittleEndian.Uint32(z.Bytes()[at:])))
	}
	// Output:
	// 11
	// 22
}
