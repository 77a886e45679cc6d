package dpo

import (
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// Tests here need a GPU, and are those that scripts/gpu-check runs.

// gpu is the GPU that tests run on.
func gpu(t *testing.T) ort.Device {
	t.Helper()
	d, err := ort.ParseDevice(golden.Device(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// On a GPU, without TF32, log-probabilities and gradients are the CPU's to 1e-5: relative, or of a tensor's largest element.
func TestCUDAEqualsCPU(t *testing.T) { equalsCPU(t, gpu(t), 1e-5) }

// So are runs with adapters, other objectives, released gradients and another's file, scores, and sampled tokens.
func TestCUDATrainsAsTheCPU(t *testing.T) {
	trainsAsTheCPU(t, gpu(t), 1e-4, "planned", "lora", "dora", "kto", "reward", "exported", "released", "muon")
}

func TestCUDAScoresAsTheCPU(t *testing.T) { scoresAsTheCPU(t, gpu(t)) }

func TestCUDADrawsTheCPUsTokens(t *testing.T) { drawsTheCPUsTokens(t, gpu(t), 1e-5) }

// halfTypes are those of half precision.
var halfTypes = []onnx.DType{onnx.BFloat16, onnx.Float16}

// In half precision the gradient points where float32's does: its cosine is at least 0.999 as a whole, and 0.99 of each tensor.
func TestCUDAHalfGradients(t *testing.T) {
	d := gpu(t)
	for model, dir := range folders(t) {
		for _, rung := range artifact.Rungs {
			for _, compute := range halfTypes {
				t.Run(model+"/"+string(rung)+"/"+compute.String(), func(t *testing.T) {
					n := openTest(t, dir, onnx.Float32, engine.Options{})
					groups, weights := mixedGroups(n.model.Vocab)
					_, want := gradients(t, n, groups, weights)
					_, got := gradients(t, openTest(t, dir, compute, engine.Options{Device: d, Plan: engine.Uniform(rung, 99), TF32: true}), groups, weights)
					pointAlike(t, want, got)
				})
			}
		}
	}
}

// lossesOn are those of a run's steps.
func lossesOn(t *testing.T, steps int, d ort.Device, dtype onnx.DType, offload string) (all []float64) {
	t.Helper()
	c := tinyConfig(t)
	c.Device, c.DType, c.Offload, c.Steps, c.LR = d.String(), dtype.String(), offload, steps, 1e-4
	_, metrics := trained(t, c)
	for _, m := range metrics {
		all = append(all, m.Loss)
	}
	return all
}

// Fifty steps in half precision lose what fifty steps in float32 do, to 2 % of the first loss.
func TestCUDAHalfTraining(t *testing.T) {
	d := gpu(t)
	want := lossesOn(t, 50, ort.Device{}, onnx.Float32, "")
	for _, compute := range halfTypes {
		t.Run(compute.String(), func(t *testing.T) { sameLosses(t, want, lossesOn(t, 50, d, compute, "")) })
	}
}

// What is offloaded trains as what is not.
func TestCUDAOffload(t *testing.T) {
	d := gpu(t)
	for _, compute := range []onnx.DType{onnx.Float32, onnx.BFloat16} {
		want := lossesOn(t, 10, d, compute, "")
		for _, offload := range Offloads() {
			t.Run(compute.String()+"/"+offload, func(t *testing.T) { sameLosses(t, want, lossesOn(t, 10, d, compute, offload)) })
		}
	}
}
