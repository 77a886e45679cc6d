package engine

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// Source gives a checkpoint's tensors by name.
type Source interface {
	Tensor(name string) (safetensors.Tensor, error)
}

// Weights are tensors by their names in the checkpoint: a model's parameters, their gradients, or a state of the
// optimizer. Trainable ones lie in one flat buffer, matrices first, so that the optimizer can run over slices of it
// whatever the tensors' sizes, with weight decay on the matrices alone.
type Weights struct {
	Names    []string // in the order of the buffer
	tensors  map[string]*ort.Tensor
	buffer   *ort.Buffer
	elements int64 // in the buffer, alignment included
	decayed  int64 // of which matrices
}

// align keeps tensors apart by cache lines.
const align = 64 / 4

// shapes of all parameters by tensor name. The head's graph takes any part of its weight.
func (e *Engine) shapes() (map[string][]int64, error) {
	all, whole := map[string][]int64{}, map[string]int64{"B": e.art.Dims["vocab"]}
	for _, s := range e.art.Stages {
		for input, p := range s.Params {
			shape, err := e.art.Graphs[s.Graph].Input(input).Shape.Eval(whole)
			if err != nil {
				return nil, fmt.Errorf("stage %s: parameter %s: %w", s.Name, input, err)
			}
			all[p.Tensor] = shape
		}
	}
	return all, nil
}

// NewWeights makes zeros for every parameter: gradients, or an optimizer's state.
func (e *Engine) NewWeights() (*Weights, error) {
	shapes, err := e.shapes()
	if err != nil {
		return nil, err
	}
	t, err := onnx.ParseDType(e.art.Weights)
	if err != nil {
		return nil, err
	}
	w := &Weights{tensors: map[string]*ort.Tensor{}}
	offsets := map[string]int64{}
	w.Names = slices.Sorted(maps.Keys(shapes))
	slices.SortStableFunc(w.Names, func(a, b string) int { return len(shapes[b]) - len(shapes[a]) })
	for _, name := range w.Names {
		if len(shapes[name]) < 2 && w.decayed == 0 {
			w.decayed = w.elements
		}
		offsets[name] = w.elements
		n := int64(1)
		for _, d := range shapes[name] {
			n *= d
		}
		w.elements += (n + align - 1) / align * align
	}
	if w.buffer, err = e.opts.Device.Alloc(int(w.elements) * t.Size()); err != nil {
		return nil, fmt.Errorf("allocate %d parameters: %w", w.elements, err)
	}
	for name, shape := range shapes {
		if w.tensors[name], err = ort.NewTensor(w.buffer, int(offsets[name])*t.Size(), ort.DType(t), shape...); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	return w, nil
}

// Load copies a checkpoint's tensors into trainable weights.
func (e *Engine) Load(from Source) (*Weights, error) {
	w, err := e.NewWeights()
	if err != nil {
		return nil, err
	}
	if err := w.Set(from); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Set overwrites every tensor by the one of the same name in from, converted to the type held here.
func (w *Weights) Set(from Source) error {
	for _, name := range w.Names {
		t, err := from.Tensor(name)
		if err != nil {
			return fmt.Errorf("load weights: %w", err)
		}
		if !slices.Equal(t.Shape, w.tensors[name].Shape) {
			return fmt.Errorf("load weights: tensor %s has shape %v, the graphs ask for %v", name, t.Shape, w.tensors[name].Shape)
		}
		data, err := convert(t, onnx.DType(w.tensors[name].DType))
		if err != nil {
			return fmt.Errorf("load weights: tensor %s: %w", name, err)
		}
		if err := w.tensors[name].CopyFromHost(data); err != nil {
			return fmt.Errorf("load weights: tensor %s: %w", name, err)
		}
	}
	return nil
}

var storedTypes = map[onnx.DType]string{onnx.Float32: "F32", onnx.Float64: "F64", onnx.Float16: "F16", onnx.BFloat16: "BF16"}

// convert gives a stored tensor's bytes in type t, which is its own or a wider one.
func convert(stored safetensors.Tensor, t onnx.DType) ([]byte, error) {
	if stored.DType == storedTypes[t] {
		return stored.Data, nil
	}
	n := int64(1)
	for _, d := range stored.Shape {
		n *= d
	}
	values := make([]float32, n)
	if err := safetensors.Decode(stored, values); err != nil {
		return nil, err
	}
	switch t {
	case onnx.Float32, onnx.Float64:
		wide := make([]float64, n)
		for i, x := range values {
			wide[i] = float64(x)
		}
		return Floats(t, wide).Data, nil
	}
	return nil, fmt.Errorf("stored as %s, bound as %s: weights are never narrowed on load", stored.DType, t)
}

// Map binds a checkpoint's tensors as they lie in its files, without a copy: frozen weights. The files must stay
// mapped until Close.
func (e *Engine) Map(from Source) (*Weights, error) {
	shapes, err := e.shapes()
	if err != nil {
		return nil, err
	}
	w := &Weights{Names: slices.Sorted(maps.Keys(shapes)), tensors: map[string]*ort.Tensor{}}
	for _, name := range w.Names {
		t, err := from.Tensor(name)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("map weights: %w", err), w.Close())
		}
		if want, _ := onnx.ParseDType(e.art.Weights); t.DType != storedTypes[want] {
			return nil, errors.Join(fmt.Errorf("map weights: tensor %s is %s, the graphs take %s", name, t.DType, want), w.Close())
		}
		if w.tensors[name], err = e.place(t); err != nil {
			return nil, errors.Join(fmt.Errorf("map weights: tensor %s: %w", name, err), w.Close())
		}
	}
	return w, nil
}

// place binds a mapped tensor. One that some writer did not align is copied.
func (e *Engine) place(t safetensors.Tensor) (*ort.Tensor, error) {
	want, err := onnx.ParseDType(e.art.Weights)
	if err != nil {
		return nil, err
	}
	if bound, err := ort.HostTensor(t.Data, ort.DType(want), t.Shape...); err == nil {
		return bound, nil
	}
	return ort.HostTensor(bytes.Clone(t.Data), ort.DType(want), t.Shape...)
}

// Zero clears trainable weights.
func (w *Weights) Zero() error { return w.buffer.Zero() }

// Bytes gives a tensor's elements and shape: on the CPU its own memory, which the next update changes; else a copy.
func (w *Weights) Bytes(name string) ([]byte, []int64, error) {
	t, ok := w.tensors[name]
	if !ok {
		return nil, nil, fmt.Errorf("no tensor %s", name)
	}
	if data := t.Bytes(); data != nil {
		return data, t.Shape, nil
	}
	data := make([]byte, t.Len())
	if err := t.CopyToHost(data); err != nil {
		return nil, nil, fmt.Errorf("read tensor %s: %w", name, err)
	}
	return data, t.Shape, nil
}

// Finite reports whether no element is NaN or infinite.
func (w *Weights) Finite() (bool, error) {
	for _, name := range w.Names {
		data, _, err := w.Bytes(name)
		if err != nil {
			return false, err
		}
		for _, x := range (Array{Type: onnx.DType(w.tensors[name].DType), Data: data}).Floats() {
			if x-x != 0 {
				return false, nil
			}
		}
	}
	return true, nil
}

// Close releases the tensors and their memory.
func (w *Weights) Close() error {
	for _, t := range w.tensors {
		t.Close()
	}
	w.tensors = nil
	if w.buffer != nil {
		w.buffer.Free()
		w.buffer = nil
	}
	return nil
}
