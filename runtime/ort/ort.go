// Package ort runs ONNX models with ONNX Runtime: devices and their memory, tensors over it, and sessions.
//
//	device, _ := ort.ParseDevice("cpu")
//	buffer, _ := device.Alloc(4 << 20)                              // zeroed, outside Go's heap
//	y, _ := ort.NewTensor(buffer, 0, ort.Float32, 1024, 1024)       // a view: nothing is copied
//	x, _ := ort.HostTensor(mapped, ort.BFloat16, 1024, 1024)        // so is this, over a file's mapping or a Go slice
//	s, _ := ort.NewSession(model, ort.Options{Name: "block"})
//	err := s.Run(map[string]*ort.Tensor{"x": x}, map[string]*ort.Tensor{"y": y})
//
// A Run reads and writes the callers' memory in place: every output is bound to a tensor of the right shape beforehand,
// and one tensor may be bound as an input and an output, if no node reads it after the one that writes it.
//
// Tensors are views without native state. What must be released are sessions (Close) and buffers (Free); Live counts
// them.
//
// The library is loaded when it is first needed, by github.com/yalue/onnxruntime_go, which also holds the environment. A process
// loads one, so a CUDA device is parsed before anything runs on the CPU: then it is one with CUDA.
// Sessions and tensors use the C API directly (bridge.c, under the header of the same version), because device memory,
// preallocated outputs without a copy, and shared allocators are not in that module.
package ort

import (
	"fmt"
	"sync"
	"sync/atomic"

	onnxruntime "github.com/yalue/onnxruntime_go"
)

// #cgo linux LDFLAGS: -ldl
// #include "bridge.h"
// #include "scratch.h"
import "C"

var live atomic.Int64

// Live is the number of sessions and buffers that have not been released.
func Live() int { return int(live.Load()) }

// loaded is the library's path once load succeeded.
var loaded string

// load loads the library and makes the environment, once.
var load = sync.OnceValue(func() error {
	path, err := findLibrary(libraryFolders(), cudaWanted.Load())
	if err != nil {
		return err
	}
	onnxruntime.SetSharedLibraryPath(path)
	if err := onnxruntime.InitializeEnvironment(onnxruntime.WithLogLevelFatal()); err != nil {
		return fmt.Errorf("load %s: %w (a file cut short or of another version? `make deps` fetches the right one)", path, err)
	}
	name := C.CString(path)
	defer C.free(ptr(name))
	if C.bridge_load(name) == 0 {
		return fmt.Errorf("load %s: its version %s lacks C API %d: `make deps` fetches one that has it",
			path, onnxruntime.GetVersion(), C.ORT_API_VERSION)
	}
	loaded = path
	return nil
})

// ScratchBytes is what sessions hold for the temporaries of their operators, in use or kept for the next Run: at most
// half as much again as ScratchPeak.
func ScratchBytes() int { return int(C.scratch_bytes()) }

// ScratchPeak is the most that was in use at one moment since the last TrimScratch.
func ScratchPeak() int { return int(C.scratch_most()) }

// LimitScratch bounds what is in use and kept together: beyond it nothing is kept, but what a Run needs it gets.
func LimitScratch(bytes int) { C.scratch_limit(C.size_t(bytes)) }

// TrimScratch gives back what they keep, as when a phase of other shapes begins.
func TrimScratch() { C.scratch_trim() }

// Version is that of the ONNX Runtime library, such as "1.32.0".
func Version() (string, error) {
	if err := load(); err != nil {
		return "", err
	}
	return onnxruntime.GetVersion(), nil
}
