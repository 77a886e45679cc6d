package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
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
// whatever the tensors' sizes: what is updated alike, as matrices with weight decay and norms without, lies side by side. Beside
// them stand those that are frozen.
type Weights struct {
	Names    []string // of what is trained, in the order of the buffer
	tensors  map[string]*ort.Tensor
	offsets  map[string]int64 // in the buffer, in elements
	buffer   *ort.Buffer
	frozen   []*ort.Buffer // of frozen tensors on a device
	elements int64         // in the buffer, alignment included

	bound   map[string]*ort.Tensor // what stages are run with, where that is not the tensor itself; it lies in one of:
	rounded *Weights               // all that is trained, in the type that the graphs compute in; nil where they take all as it is
	copies  *Weights               // on the device, what is taken as it is, where the weights lie with the host; else nil
}

// align keeps tensors apart by cache lines.
const align = 64 / 4

// parameters finds shapes and types by tensor name. The head's graph takes any part of its weight.
func (e *Engine) parameters() error {
	e.shape, e.dtype = map[string][]int64{}, map[string]onnx.DType{}
	sizes := map[string]int64{rowsOfVocabulary: e.art.Dims["vocab"]}
	for _, s := range e.art.Stages {
		for input, p := range s.Params {
			in := e.art.Graphs[s.Graph].Input(input)
			shape, err := in.Shape.Eval(sizes)
			if err != nil {
				return fmt.Errorf("stage %s: parameter %s: %w", s.Name, input, err)
			}
			e.shape[p.Tensor], e.dtype[p.Tensor] = shape, in.Type
		}
	}
	return nil
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// aligned is how many elements a tensor takes in a buffer.
func aligned(shape []int64) int64 { return (elements(shape) + align - 1) / align * align }

// size is a tensor's number of elements.
func (w *Weights) size(name string) int64 { return elements(w.tensors[name].Shape) }

// shapes are those of what is trained.
func (w *Weights) shapes() map[string][]int64 {
	out := map[string][]int64{}
	for _, name := range w.Names {
		out[name] = w.tensors[name].Shape
	}
	return out
}

// span is a vector over elements first to last of the flat buffer.
func (w *Weights) span(first, last int64) (*ort.Tensor, error) {
	t := w.tensors[w.Names[0]].DType
	return ort.NewTensor(w.buffer, int(first)*t.Size(), t, last-first)
}

// view is another tensor over the memory of the one that is named.
func (w *Weights) view(name string) (*ort.Tensor, error) {
	t := w.tensors[name]
	return ort.NewTensor(w.buffer, int(w.offsets[name])*t.DType.Size(), t.DType, t.Shape...)
}

// NewWeights makes zeros for every parameter that is trained.
func (e *Engine) NewWeights() (*Weights, error) {
	w, err := e.cleared(e.Parameters(), e.weights, e.home())
	if err != nil {
		return nil, err
	}
	if err := e.bind(w); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// cleared makes zeros of these shapes in one buffer, those of more dimensions first.
func (e *Engine) cleared(shapes map[string][]int64, t onnx.DType, on ort.Device) (*Weights, error) {
	var err error
	w := &Weights{tensors: map[string]*ort.Tensor{}, offsets: map[string]int64{}}
	w.Names = slices.Sorted(maps.Keys(shapes))
	slices.SortStableFunc(w.Names, func(a, b string) int { return len(shapes[b]) - len(shapes[a]) })
	for _, name := range w.Names {
		w.offsets[name] = w.elements
		w.elements += aligned(shapes[name])
	}
	if w.buffer, err = on.Alloc(int(w.elements) * t.Size()); err != nil {
		return nil, fmt.Errorf("allocate %d parameters: %w", w.elements, err)
	}
	for _, name := range w.Names {
		tensor, err := ort.NewTensor(w.buffer, int(w.offsets[name])*t.Size(), ort.DType(t), shapes[name]...)
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		w.tensors[name] = tensor
	}
	return w, nil
}

// Load copies a checkpoint's tensors into trainable weights. Frozen ones stay where they lie, as for Map, or go to the device.
func (e *Engine) Load(from Source) (*Weights, error) {
	w, err := e.NewWeights()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(w.Set(from), e.addFrozen(w, from)); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// addFrozen adds the tensors that are not trained.
func (e *Engine) addFrozen(w *Weights, from Source) error {
	for _, name := range slices.Sorted(maps.Keys(e.shape)) {
		if w.tensors[name] != nil {
			continue
		}
		t, err := from.Tensor(name)
		if err != nil {
			return fmt.Errorf("load weights: %w", err)
		}
		if !slices.Equal(t.Shape, e.shape[name]) {
			return fmt.Errorf("load weights: tensor %s has shape %v, the graphs ask for %v", name, t.Shape, e.shape[name])
		}
		var bound *ort.Tensor
		if t.Data, err = convert(t, e.dtype[name]); err == nil {
			bound, err = e.stand(w, t, e.dtype[name])
		}
		if err != nil {
			return fmt.Errorf("load weights: tensor %s: %w", name, err)
		}
		w.tensors[name] = bound
	}
	return nil
}

// stand binds a frozen tensor: where it lies, or as a copy on the device.
func (e *Engine) stand(w *Weights, t safetensors.Tensor, dtype onnx.DType) (*ort.Tensor, error) {
	if e.lodging().OnHost() {
		return place(t, dtype)
	}
	buffer, err := e.opts.Device.Alloc(len(t.Data))
	if err != nil {
		return nil, err
	}
	w.frozen = append(w.frozen, buffer)
	bound, err := ort.NewTensor(buffer, 0, ort.DType(dtype), t.Shape...)
	if err == nil {
		err = bound.CopyFromHost(t.Data)
	}
	return bound, err
}

// Set overwrites every trained tensor by the one of the same name in from, converted to the type held here.
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
		if err := w.round(name, t); err != nil {
			return fmt.Errorf("load weights: tensor %s: %w", name, err)
		}
	}
	return w.give(w.Names...)
}

// round sets what stages are run with to a tensor in a narrower type.
func (w *Weights) round(name string, t safetensors.Tensor) error {
	if w.rounded == nil {
		return nil
	}
	to := w.rounded.tensors[name]
	data, err := convert(t, onnx.DType(to.DType))
	if err != nil {
		return err
	}
	return to.CopyFromHost(data)
}

var storedTypes = map[onnx.DType]string{onnx.Float32: "F32", onnx.Float64: "F64", onnx.Float16: "F16", onnx.BFloat16: "BF16"}

// chunk is how many elements are converted at once.
const chunk = 1 << 16

// convert gives a stored tensor's bytes in type t, rounded to the nearest number where that is narrower.
func convert(stored safetensors.Tensor, t onnx.DType) ([]byte, error) {
	if stored.DType == storedTypes[t] {
		return stored.Data, nil
	}
	n := int(elements(stored.Shape))
	out := make([]byte, 0, n*t.Size())
	narrow, wide := make([]float32, min(chunk, n)), make([]float64, min(chunk, n))
	for at := 0; at < n; at += chunk {
		size, width := min(chunk, n-at), len(stored.Data)/n
		part := safetensors.Tensor{DType: stored.DType, Data: stored.Data[at*width : (at+size)*width]}
		if err := safetensors.Decode(part, narrow[:size]); err != nil {
			return nil, err
		}
		if t == onnx.Float32 {
			for _, x := range narrow[:size] {
				out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
			}
			continue
		}
		for i, x := range narrow[:size] {
			wide[i] = float64(x)
		}
		out = append(out, Floats(t, wide[:size]).Data...)
	}
	return out, nil
}

// Takes reports whether the graphs take all of a checkpoint's tensors in the types that they are stored in.
func (e *Engine) Takes(from Source) bool {
	for name, t := range e.dtype {
		if stored, err := from.Tensor(name); err != nil || stored.DType != storedTypes[t] {
			return false
		}
	}
	return true
}

// Map binds a checkpoint's tensors as they lie in its files, without a copy: frozen weights. The files must stay
// mapped until Close.
func (e *Engine) Map(from Source) (*Weights, error) {
	w := &Weights{Names: slices.Clone(e.trained), tensors: map[string]*ort.Tensor{}}
	for _, name := range slices.Sorted(maps.Keys(e.shape)) {
		t, err := from.Tensor(name)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("map weights: %w", err), w.Close())
		}
		if t.DType != storedTypes[e.dtype[name]] {
			return nil, errors.Join(fmt.Errorf("map weights: tensor %s is %s, the graphs take %s", name, t.DType, e.dtype[name]), w.Close())
		}
		bound, err := place(t, e.dtype[name])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("map weights: tensor %s: %w", name, err), w.Close())
		}
		w.tensors[name] = bound
	}
	return w, nil
}

// place binds a mapped tensor. One that some writer did not align is copied.
func place(t safetensors.Tensor, dtype onnx.DType) (*ort.Tensor, error) {
	if bound, err := ort.HostTensor(t.Data, ort.DType(dtype), t.Shape...); err == nil {
		return bound, nil
	}
	return ort.HostTensor(bytes.Clone(t.Data), ort.DType(dtype), t.Shape...)
}

// Bytes gives a tensor's elements and shape: where they lie with the host, offloaded or not, its own memory, which the next update changes; else a
// copy.
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
		t := onnx.DType(w.tensors[name].DType)
		for part := range slices.Chunk(data, chunk*t.Size()) {
			for _, x := range (Array{Type: t, Data: part}).Floats() {
				if x-x != 0 {
					return false, nil
				}
			}
		}
	}
	return true, nil
}

// Close releases the tensors and their memory.
func (w *Weights) Close() error {
	for _, of := range []*Weights{w.rounded, w.copies} {
		if of != nil {
			of.free()
		}
	}
	w.bound, w.rounded, w.copies = nil, nil, nil
	w.free()
	return nil
}

// free releases the tensors and the buffers that they lie in.
func (w *Weights) free() {
	for _, t := range w.tensors {
		t.Close()
	}
	w.tensors = nil
	if w.buffer != nil {
		w.buffer.Free()
		w.buffer = nil
	}
	for _, b := range w.frozen {
		b.Free()
	}
	w.frozen = nil
}
