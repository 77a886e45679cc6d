package dpo

import (
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// DTypes lists the names of the types that models compute in. The head, all sums, and weights in training are float32 under each.
func DTypes() []string { return []string{"float32", "bfloat16"} }

// precision reads where models are computed, and in which type; "" means the CPU, and float32. In half precision the products of the
// head, which are float32, round their factors to TF32.
func precision(device, dtype string, threads int) (engine.Options, onnx.DType, error) {
	o, compute := engine.Options{Threads: threads}, onnx.Float32
	var err error
	if device != "" {
		if o.Device, err = ort.ParseDevice(device); err != nil {
			return o, compute, err
		}
	}
	if dtype == "" || dtype == compute.String() {
		return o, compute, nil
	}
	if !slices.Contains(DTypes(), dtype) {
		return o, compute, OneOf("dtype", dtype, DTypes())
	}
	if o.Device.Kind != ort.CUDA {
		return o, compute, fmt.Errorf("dtype %s is for a GPU (--device cuda:0): the CPU computes in float32", dtype)
	}
	o.TF32 = true
	compute, err = onnx.ParseDType(dtype)
	return o, compute, err
}

// longFrom is the length of rows that are cut into blocks there.
func longFrom(d ort.Device) int {
	if d.OnHost() {
		return longRows
	}
	return longRowsGPU
}

// mostTokens is how many padded tokens a micro-batch has at most: beyond them nothing is gained.
func mostTokens(d ort.Device) int {
	if d.OnHost() {
		return MicroTokens
	}
	return 8 * MicroTokens // a GPU is busy only with large products
}
