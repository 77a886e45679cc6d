package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"unsafe"
)

// #include "bridge.h"
// #include "cuda.h"
import "C"

// cudaWanted is set once a CUDA device was asked for: then the library that is loaded is one that has CUDA.
var cudaWanted atomic.Bool

// openCUDA loads what the provider needs, then the provider.
func openCUDA(native *C.bridge_device, index int) error {
	provider := filepath.Join(filepath.Dir(loaded), providerName())
	if _, err := os.Stat(provider); err != nil {
		return withoutCUDA(loaded, givenLibrary() != "", libraryFolders())
	}
	var lacking []string
	for _, p := range cudaParts() {
		if p.Err != nil {
			lacking = append(lacking, p.Name+": "+p.Err.Error())
		}
	}
	if lacking != nil {
		return errors.New(strings.Join(lacking, "; "))
	}
	path := C.CString(provider)
	defer C.free(ptr(path))
	if err := check(C.bridge_cuda(native, path, C.int(index))); err != nil {
		return fmt.Errorf("load %s: %w", provider, err)
	}
	if native.provider == nil {
		return errors.New("ONNX Runtime sees no such device: compare with `nvidia-smi -L`, or use device cpu")
	}
	return nil
}

// withoutCUDA says why the library at path has no CUDA provider beside it, and what to do: a process loads one library.
func withoutCUDA(path string, given bool, folders []string) error {
	gpu := cudaLibrary(folders)
	switch {
	case given:
		return fmt.Errorf("%s, which --onnxruntime or %s names, is ONNX Runtime without CUDA (no %s beside it): name the library of a GPU build, "+
			"or none, or use device cpu", path, LibraryVariable, providerName())
	case gpu != "":
		return fmt.Errorf("%s, without CUDA, is loaded already, and a process loads one ONNX Runtime: set %s to %s, or parse the device before "+
			"anything else is done", path, LibraryVariable, gpu)
	}
	return fmt.Errorf("find ONNX Runtime with CUDA: no %s beside a %s in %s, nor in a folder cuda of these: run `make deps-cuda`, or set %s to the "+
		"library of a GPU build, or use device cpu", providerName(), libraryNames[runtime.GOOS], strings.Join(folders, ", "), LibraryVariable)
}

// Memory is how many bytes of the device's memory are free and how many it has, as the driver counts them: what ONNX Runtime
// keeps for its next allocations is not free. For the CPU it is an error, as the operating system knows that.
func (d Device) Memory() (free, total int64, err error) {
	switch d.Kind {
	case CPU:
		return 0, 0, errors.New("memory of cpu: ask the operating system")
	case Guarded:
		return guardedMemory - hiddenBytes.Load(), guardedMemory, nil
	}
	if _, err := d.open(); err != nil {
		return 0, 0, err
	}
	free, total, code := memoryOf(nvidiaHandle("cudart"), d.Index)
	if code != 0 {
		return 0, 0, fmt.Errorf("memory of %s: cudaMemGetInfo gives error %d", d, code)
	}
	return free, total, nil
}

// await waits until the device has done all Runs.
func (d Device) await() error {
	if d.Kind != CUDA {
		return nil
	}
	if code := C.cuda_synchronize(nvidiaHandle("cudart"), C.int(d.Index)); code != 0 {
		return fmt.Errorf("wait for %s: cudaDeviceSynchronize gives error %d", d, code)
	}
	return nil
}

// memoryOf asks CUDA's runtime for a device's memory; code is 0, CUDA's error, or -1.
func memoryOf(runtime unsafe.Pointer, index int) (free, total int64, code int) {
	var f, t C.size_t
	code = int(C.cuda_memory(runtime, C.int(index), &f, &t))
	return int64(f), int64(t), code
}

// Model is what the device's maker calls it, such as "NVIDIA H200". For the CPU it is an error.
func (d Device) Model() (string, error) {
	switch d.Kind {
	case CPU:
		return "", errors.New("model of cpu: ask the operating system")
	case Guarded:
		return "the CPU behind memory that the host cannot touch", nil
	}
	if _, err := d.open(); err != nil {
		return "", err
	}
	var name [256]C.char
	if code := C.cuda_device_name(nvidiaHandle("driver"), C.int(d.Index), &name[0], C.int(len(name))); code != 0 {
		return "", fmt.Errorf("model of %s: cuDeviceGetName gives error %d", d, code)
	}
	return C.GoString(&name[0]), nil
}
