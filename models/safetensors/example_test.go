package safetensors_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

func Example() {
	folder, err := os.MkdirTemp("", "safetensors")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "model.safetensors")
	err = safetensors.Write(path, []safetensors.Entry{{Name: "bias", DType: "F32", Shape: []int64{2}, Data: make([]byte, 8)}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	t, err := f.Tensor("bias")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.DType, t.Shape)
	// Output: F32 [2]
}
