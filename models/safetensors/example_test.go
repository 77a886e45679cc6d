package safetensors_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

func Example() {
	folder, err := os.MkdirTemp("", "safetensors")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "model.safetensors")
	err = safetensors.Write(path, []safetensors.Entry{{Name: "bias", DType: "F32", Shape: []int64{2}, Data: make([]byte, 8)}}, nil)
	if err != nil {
		panic(err)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	t, err := f.Tensor("bias")
	if err != nil {
		panic(err)
	}
	fmt.Println(t.DType, t.Shape)
	// Output: F32 [2]
}
