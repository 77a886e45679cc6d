package ort

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// #include "bridge.h"
import "C"

// Kind is a kind of device.
type Kind int

// The kinds of device that sessions run on. Guarded is the CPU behind memory that the host cannot touch, for tests of what runs on
// devices.
const (
	CPU Kind = iota
	CUDA
	Guarded
)

var kinds = []string{CPU: "cpu", CUDA: "cuda", Guarded: "guarded"}

// numbered are the kinds of which there may be several devices.
var numbered = map[Kind]bool{CUDA: true}

// String is the kind's name as in a device's.
func (k Kind) String() string { return kinds[k] }

// Device is where sessions run and tensors lie. The zero Device is the CPU.
type Device struct {
	Kind  Kind
	Index int
}

// ParseDevice reads "cpu", "cuda" (the first), "cuda:1", or "guarded". It does not ask whether there is such a device; Alloc and
// NewSession do. A process loads one ONNX Runtime, when it is first needed: it is one with CUDA, if there is any, where a CUDA device
// was parsed before.
func ParseDevice(s string) (Device, error) {
	name, index, indexed := strings.Cut(s, ":")
	d := Device{Kind: Kind(slices.Index(kinds, name))}
	wrong := d.Kind < 0
	if indexed {
		var err error
		d.Index, err = strconv.Atoi(index)
		wrong = wrong || err != nil || d.Index < 0 || !numbered[d.Kind]
	}
	if wrong {
		return Device{}, fmt.Errorf("device %q: not cpu, cuda or cuda:N", s)
	}
	if d.Kind == CUDA {
		cudaWanted.Store(true)
	}
	return d, nil
}

// OnHost reports whether the host reads and writes the device's memory as its own. Of a device of which it does not, as of a GPU, all
// that crosses is copied.
func (d Device) OnHost() bool { return d.Kind == CPU }

// String is what ParseDevice reads.
func (d Device) String() string {
	if !numbered[d.Kind] {
		return d.Kind.String()
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
	if d.Kind != CUDA {
		*native = C.bridge_host()
	} else if err := openCUDA(native, d.Index); err != nil {
		return nil, fmt.Errorf("open device %s: %w", d, err)
	}
	opened.devices[d] = native
	return native, nil
}
