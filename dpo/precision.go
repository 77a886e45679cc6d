package dpo

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// DTypes lists the names of the types that models compute in. The head, all sums, and weights in training are float32 under each.
func DTypes() []string { return []string{"float32", "bfloat16", "float16"} }

// precision reads where models are computed, and in which type; "" means the CPU, and float32. Products of float32 may round their factors to
// TF32 where that is asked for, and in half precision, where they are the head's, and those of Muon and DoRA.
func precision(device, dtype string, tf32 bool, threads int) (engine.Options, onnx.DType, error) {
	o, compute := engine.Options{Threads: threads, TF32: tf32}, onnx.Float32
	var err error
	if device != "" {
		if o.Device, err = ort.ParseDevice(device); err != nil {
			return o, compute, err
		}
	}
	if dtype == "" || dtype == compute.String() {
		if tf32 && o.Device.OnHost() {
			return o, compute, errors.New("tf32 is for a GPU (--device cuda:0): the CPU computes in float32")
		}
		return o, compute, nil
	}
	if !slices.Contains(DTypes(), dtype) {
		return o, compute, OneOf("dtype", dtype, DTypes())
	}
	if tf32 {
		return o, compute, fmt.Errorf("tf32 is a setting of --dtype float32, not of %s, whose float32 products use it anyway: leave it out", dtype)
	}
	if o.Device.OnHost() {
		return o, compute, fmt.Errorf("dtype %s is for a GPU (--device cuda:0): the CPU computes in float32", dtype)
	}
	o.TF32 = true
	compute, err = onnx.ParseDType(dtype)
	return o, compute, err
}

// wider says what else to do about numbers that are not finite, after what is done in any type.
func wider(compute onnx.DType) string {
	if compute != onnx.Float16 {
		return ""
	}
	return ", or compute in bfloat16 (--dtype bfloat16): float16 ends at 65,504"
}

// mostHalf is what rounds to the largest number of float16, and not to infinity: less than this.
const mostHalf = 65520

// holds refuses a model to be computed in float16 that has a weight beyond its range. The head's are never cast.
func holds(compute onnx.DType, m *models.Model) error {
	if compute != onnx.Float16 {
		return nil
	}
	for _, s := range m.Stages() {
		if s.Graph == models.HeadGraph {
			continue
		}
		for _, p := range s.Params {
			t, err := m.Tensor(p.Tensor)
			if err != nil {
				return err
			}
			most, err := largestOf(t)
			if err != nil {
				return fmt.Errorf("read tensor %s: %w", p.Tensor, err)
			}
			if most >= mostHalf {
				return fmt.Errorf("compute %s in float16: tensor %s holds %v, and float16 ends at 65,504: give --dtype bfloat16", m.Dir, p.Tensor, most)
			}
		}
	}
	return nil
}

// largestOf is the largest magnitude of a tensor's elements.
func largestOf(t safetensors.Tensor) (most float32, err error) {
	const chunk = 1 << 16
	n := 1
	for _, d := range t.Shape {
		n *= int(d)
	}
	size, some := len(t.Data)/max(n, 1), make([]float32, min(chunk, n))
	for at := 0; at < n; at += chunk {
		part := some[:min(chunk, n-at)]
		if err := safetensors.Decode(safetensors.Tensor{DType: t.DType, Data: t.Data[at*size : (at+len(part))*size]}, part); err != nil {
			return 0, err
		}
		for _, x := range part {
			most = max(most, x, -x)
		}
	}
	return most, nil
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
