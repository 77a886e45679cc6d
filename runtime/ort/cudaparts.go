package ort

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"
)

// #include <stdlib.h>
// #include "cuda.h"
import "C"

// ErrMissing is in the error of a Part that is not there.
var ErrMissing = errors.New("missing")

// Part is one of the things that a device needs.
type Part struct {
	Name  string // driver, provider, or the library's without lib and .so
	Found string // where it was found, and of the driver the version too; empty where Err is set
	Err   error  // why it cannot be used and what to do; ErrMissing where it is not there
}

// Parts loads what the device needs beside ONNX Runtime, and says where each part was found: for a CUDA device the driver, NVIDIA's
// libraries and ONNX Runtime's provider with the library that it shares; for the CPU there are none. The error is that of loading
// ONNX Runtime.
func (d Device) Parts() ([]Part, error) {
	if err := d.load(); err != nil || d.Kind != CUDA {
		return nil, err
	}
	return cudaParts(), nil
}

// nvidia holds the parts once all are there, and the libraries that are loaded, by the names of their parts.
var nvidia = struct {
	sync.Mutex
	parts   []Part
	handles map[string]unsafe.Pointer
}{handles: map[string]unsafe.Pointer{}}

func nvidiaHandle(part string) unsafe.Pointer {
	nvidia.Lock()
	defer nvidia.Unlock()
	return nvidia.handles[part]
}

// cudaParts looks for all parts, again where one was not there before.
func cudaParts() []Part {
	nvidia.Lock()
	defer nvidia.Unlock()
	if nvidia.parts != nil {
		return nvidia.parts
	}
	beside := filepath.Dir(loaded)
	parts := []Part{driver(driverNames())}
	folders := append([]string{beside}, nvidiaFolders()...)
	for _, file := range nvidiaLibraries() {
		parts = append(parts, nvidiaLibrary(file, folders))
	}
	parts = append(parts, companion("shared", sharedName(), beside), provider(beside))
	if !slices.ContainsFunc(parts, func(p Part) bool { return p.Err != nil }) {
		nvidia.parts = parts
	}
	return parts
}

// leastCUDA is the version of CUDA that the driver must be for, in the way that it counts: CUDA 13.0.
const leastCUDA = 13000

// driverNames are the driver's library, where the loader looks, and where a container gets it and that of Windows' Linux.
func driverNames() []string {
	if runtime.GOOS == "windows" {
		return []string{"nvcuda.dll"}
	}
	return []string{"libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"}
}

// driver loads the driver's library from the first place that has it. It belongs to the kernel's module, so it is never packed with
// anything.
func driver(names []string) Part {
	const install = "install NVIDIA's driver, 580 or newer; start a container with the GPU (docker run --gpus all)"
	failed := func(format string, args ...any) Part { return Part{Name: "driver", Err: fmt.Errorf(format, args...)} }
	handle, said := openLibrary(names[0])
	for _, name := range names[1:] {
		if handle == nil {
			if other, path := openLibrary(name); other != nil {
				handle, said = other, path
			}
		}
	}
	if handle == nil {
		return failed("%w: the NVIDIA driver's %s cannot be loaded (%s): %s", ErrMissing, names[0], said, install)
	}
	var version, count C.int
	if code := C.cuda_driver_version(handle, &version); code != 0 {
		return failed("cuDriverGetVersion of %s gives error %d: %s", said, code, install)
	}
	if version < leastCUDA {
		return failed("%s is of a driver for CUDA %s, and CUDA 13.0 needs a newer one: %s", said, cudaVersion(version), install)
	}
	if code := C.cuda_device_count(handle, &count); code != 0 || count == 0 {
		return failed("%s sees no GPU (CUDA's error %d): compare with `nvidia-smi -L`, and look at CUDA_VISIBLE_DEVICES", said, code)
	}
	nvidia.handles["driver"] = handle
	return Part{Name: "driver", Found: fmt.Sprintf("CUDA %s, %s", cudaVersion(version), said)}
}

// cudaVersion writes 13020 as 13.2.
func cudaVersion(v C.int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

// nvidiaLibraries are those that the provider needs, each after those that it needs itself. The provider is linked to the first
// four. It opens cuDNN by its name, which finds the one that is loaded, at the first reduction that is not a sum over an
// array's first or last axes, such as a maximum.
func nvidiaLibraries() []string {
	if runtime.GOOS == "windows" {
		return nil // the loader finds them by PATH
	}
	return []string{"libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10",
		"libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn.so.9"}
}

// nvidiaFolders are where CUDA 13 and cuDNN 9 usually lie, if not where the loader looks: NVIDIA's installation, and packages of
// the python3 on PATH.
func nvidiaFolders() []string {
	patterns := []string{"/usr/local/cuda-13*/lib64", "/usr/local/cuda-13*/targets/x86_64-linux/lib", "/usr/local/cuda/lib64"}
	if python, err := exec.LookPath("python3"); err == nil {
		packages := filepath.Join(filepath.Dir(filepath.Dir(python)), "lib", "python3*", "*-packages", "nvidia")
		patterns = append(patterns, filepath.Join(packages, "cu13", "lib"), filepath.Join(packages, "cudnn", "lib"))
	}
	var folders []string
	for _, pattern := range patterns {
		if found, err := filepath.Glob(pattern); err == nil { // not, where a folder's name has a bracket
			slices.Reverse(found) // the newest first
			folders = append(folders, found...)
		}
	}
	return folders
}

var libraryVersion = regexp.MustCompile(`\.so\.\d+$`)

// nvidiaLibrary loads a library from the first folder whose file of that name can be loaded, else from where the loader looks.
func nvidiaLibrary(file string, folders []string) Part {
	part := Part{Name: strings.TrimPrefix(libraryVersion.ReplaceAllString(file, ""), "lib")}
	of := "CUDA 13's"
	if strings.HasPrefix(part.Name, "cudnn") {
		of = "cuDNN 9's"
	}
	var broken []string
	for _, folder := range folders {
		path := filepath.Join(folder, file)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		handle, said := openLibrary(path)
		if handle != nil {
			nvidia.handles[part.Name], part.Found = handle, said
			return part
		}
		broken = append(broken, said)
	}
	handle, said := openLibrary(file)
	switch {
	case handle != nil:
		nvidia.handles[part.Name], part.Found = handle, said
	case broken != nil:
		part.Err = fmt.Errorf("cannot be loaded (%s): run `make deps-cuda`, or install %s %s anew", strings.Join(broken, "; "), of, file)
	default:
		part.Err = fmt.Errorf("%w: run `make deps-cuda`, or install %s %s", ErrMissing, of, file)
	}
	return part
}

// providerName and sharedName are libraries of ONNX Runtime's that lie beside it. The first takes functions from the second.
func providerName() string {
	if runtime.GOOS == "windows" {
		return "onnxruntime_providers_cuda.dll"
	}
	return "libonnxruntime_providers_cuda.so"
}

func sharedName() string { return strings.Replace(providerName(), "_cuda.", "_shared.", 1) }

// companion looks for a library that ONNX Runtime loads from its own folder.
func companion(name, file, folder string) Part {
	path := filepath.Join(folder, file)
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return Part{Name: name, Err: fmt.Errorf("%w: no %s in %s, beside ONNX Runtime: run `make deps-cuda`, or set %s to the library of a GPU build",
			ErrMissing, file, folder, LibraryVariable)}
	}
	return Part{Name: name, Found: path}
}

func provider(folder string) Part {
	part := companion("provider", providerName(), folder)
	if part.Err != nil {
		part.Err = fmt.Errorf("%w: %w", ErrMissing, withoutCUDA(loaded, givenLibrary() != "", libraryFolders()))
	}
	return part
}

// openLibrary loads a library by its path, or by its name from where the loader looks. It says from where, or, with no handle, why not.
func openLibrary(path string) (handle unsafe.Pointer, said string) {
	name := C.CString(path)
	defer C.free(ptr(name))
	var room [1024]C.char
	handle = C.cuda_open(name, &room[0], C.size_t(len(room)))
	return handle, C.GoString(&room[0])
}
