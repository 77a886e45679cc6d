package ort

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// #include "bridge.h"
import "C"

// Kind is a kind of device.
type Kind int

// The kinds of device that sessions run on.
const (
	CPU Kind = iota
	CUDA
)

var kinds = []string{CPU: "cpu", CUDA: "cuda"}

// String is the kind's name as in a device's.
func (k Kind) String() string { return kinds[k] }

// Device is where sessions run and tensors lie. The zero Device is the CPU.
type Device struct {
	Kind  Kind
	Index int
}

// ParseDevice reads "cpu", "cuda" (the first), or "cuda:1". It does not ask whether there is such a device; Alloc and
// NewSession do. A process loads one ONNX Runtime, when it is first needed: it is one with CUDA, if there is any, where a CUDA device
// was parsed before.
func ParseDevice(s string) (Device, error) {
	name, index, indexed := strings.Cut(s, ":")
	n := 0
	if indexed {
		var err error
		if n, err = strconv.Atoi(index); err != nil || n < 0 || name == "cpu" {
			return Device{}, fmt.Errorf("device %q: not cpu, cuda or cuda:N", s)
		}
	}
	for k, kind := range kinds {
		if kind == name {
			if Kind(k) == CUDA {
				cudaWanted.Store(true)
			}
			return Device{Kind(k), n}, nil
		}
	}
	return Device{}, fmt.Errorf("device %q: not cpu, cuda or cuda:N", s)
}

// String is what ParseDevice reads.
func (d Device) String() string {
	if d.Kind == CPU {
		return "cpu"
	}
	return fmt.Sprintf("%s:%d", d.Kind, d.Index)
}

// opened holds what ONNX Runtime knows of the devices that were asked for.
var opened = struct {
	sync.Mutex
	devices map[Device]*C.bridge_device
}{devices: map[Device]*C.bridge_device{}}

// load loads ONNX Runtime for the device.
func (d Device) load() error {
	if d.Kind == CUDA {
		cudaWanted.Store(true)
	}
	return load()
}

// open finds the device in ONNX Runtime. It is an error if there is none: nothing ever runs elsewhere than it was told.
func (d Device) open() (*C.bridge_device, error) {
	if err := d.load(); err != nil {
		return nil, err
	}
	opened.Lock()
	defer opened.Unlock()
	if native := opened.devices[d]; native != nil {
		return native, nil
	}
	native := new(C.bridge_device)
	if d.Kind == CPU {
		*native = C.bridge_host()
	} else if err := openCUDA(native, d.Index); err != nil {
		return nil, fmt.Errorf("open device %s: %w", d, err)
	}
	opened.devices[d] = native
	return native, nil
}
