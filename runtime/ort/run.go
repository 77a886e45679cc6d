package ort

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
)

// #include "bridge.h"
import "C"

// Run computes all outputs from all inputs, both by their names in the model, in the memory of the tensors given. A
// tensor may be bound as an input and an output. Errors say what is wrong with which tensor; after one, what the
// outputs hold is undefined.
func (s *Session) Run(inputs, outputs map[string]*Tensor) error {
	if err := s.run(inputs, outputs); err != nil {
		return fmt.Errorf("run session %s: %w", s.name, err)
	}
	return nil
}

func (s *Session) run(inputs, outputs map[string]*Tensor) error {
	if err := errors.Join(match("input", s.inputs, inputs), match("output", s.outputs, outputs)); err != nil {
		return err
	}
	var pins runtime.Pinner // ONNX Runtime's values hold the addresses during the call
	defer pins.Unpin()
	native := make([]C.bridge_tensor, 0, len(s.inputs)+len(s.outputs))
	dims := make([]int64, 0, 4*cap(native)+1)
	bind := func(infos []Info, tensors map[string]*Tensor) {
		for _, info := range infos {
			t := tensors[info.Name]
			data, memory := t.native(), s.host.memory
			if t.buffer == nil {
				pins.Pin(data)
			} else {
				memory = t.buffer.device.memory
			}
			native = append(native, C.bridge_tensor{data: data, bytes: C.size_t(t.bytes),
				at: C.size_t(len(dims)), rank: C.size_t(len(t.Shape)), dtype: C.int32_t(t.DType), memory: memory})
			dims = append(dims, t.Shape...)
		}
	}
	bind(s.inputs, inputs)
	bind(s.outputs, outputs)
	if len(native) == 0 {
		return nil
	}
	dims = append(dims, 0) // so that there is an address where all are scalars

	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return errClosed
	}
	err := check(C.bridge_run(&s.native, &native[0], (*C.int64_t)(&dims[0])))
	runtime.KeepAlive(inputs)
	runtime.KeepAlive(outputs)
	return err
}

// match reports all tensors that are missing, unknown, closed, or of another type or shape than the model declares.
func match(kind string, infos []Info, given map[string]*Tensor) error {
	var errs []error
	known := 0
	for i := range infos {
		t, ok := given[infos[i].Name]
		if ok {
			known++
		}
		if err := infos[i].accepts(t); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", kind, infos[i].Name, err))
		}
	}
	if known < len(given) {
		names := slices.Sorted(maps.Keys(given))
		names = slices.DeleteFunc(names, func(n string) bool {
			return slices.ContainsFunc(infos, func(i Info) bool { return i.Name == n })
		})
		errs = append(errs, fmt.Errorf("the model has no %s %s", kind, strings.Join(names, ", ")))
	}
	return errors.Join(errs...)
}

func (i *Info) accepts(t *Tensor) error {
	if t == nil {
		return errors.New("no tensor is given")
	}
	if err := t.usable(); err != nil {
		return err
	}
	if t.DType != i.DType {
		return fmt.Errorf("a tensor of %s is given, the model has %s", t.DType, i.DType)
	}
	fits := func(declared, given int64) bool { return declared < 0 || declared == given }
	if i.Shape != nil && !slices.EqualFunc(i.Shape, t.Shape, fits) {
		return fmt.Errorf("a tensor of shape %v is given, the model has %v (-1: any)", t.Shape, i.Shape)
	}
	return nil
}
