package ort

import (
	"fmt"
	"strconv"
	"strings"
)

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
// NewSession do.
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
