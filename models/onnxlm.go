package models

import (
	"fmt"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/models/exported"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// BodyGraph is the whole of a model that was read from an ONNX file, up to its head: from sequences to the hidden states of scored tokens.
const BodyGraph = "body"

// exportedClass stands for the class of a model whose class nobody knows.
const exportedClass = "ONNX"

// openExported opens a model that another program exported.
func openExported(path string) (*Model, error) {
	x, err := exported.Open(path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	return &Model{Dir: dir, Base: dir, Architecture: exportedClass, Weights: exportedWeights{x}, Decoder: decoderOf(x)}, nil
}

func decoderOf(x *exported.Model) Decoder {
	return Decoder{Exported: x, Vocab: x.Vocab, Hidden: x.Hidden, Form: Form{HeadBias: x.Head.Bias != "", Positions: x.Positions}}
}

// exportedWeights are its weights as those of a checkpoint.
type exportedWeights struct{ *exported.Model }

// Names lists them.
func (w exportedWeights) Names() []string { return w.Tensors() }

// Tensor is the one that is named.
func (w exportedWeights) Tensor(name string) (safetensors.Tensor, error) {
	of, ok := w.Weights[name]
	if !ok {
		return safetensors.Tensor{}, fmt.Errorf("model %s has no tensor %s", w.Path, name)
	}
	return safetensors.Tensor{DType: "F32", Shape: of.Shape, Data: of.Data()}, nil
}

// Close does nothing: they lie in memory.
func (w exportedWeights) Close() error { return nil }

// exportedStages are the body and the head.
func (d Decoder) exportedStages() []Stage {
	body := Stage{Name: BodyGraph, Graph: BodyGraph}
	for _, in := range d.Exported.Body.Inputs {
		if _, weight := d.Exported.Weights[in.Name]; weight {
			body.Params = append(body.Params, Param{Input: in.Name, Tensor: in.Name})
		}
	}
	head := Stage{Name: HeadGraph, Graph: HeadGraph, Params: []Param{{Input: "unembed", Tensor: d.Exported.Head.Unembed}}}
	if d.HeadBias {
		head.Params = append(head.Params, Param{Input: "unembed.bias", Tensor: d.Exported.Head.Bias})
	}
	return []Stage{body, head}
}

// exportedGraphs are the file's own, and the head that all models have.
func (d Decoder) exportedGraphs(t Types) (map[string]*onnx.Graph, error) {
	if t.Compute != onnx.Float32 || t.Weights != onnx.Float32 {
		return nil, fmt.Errorf("%s computes in float32, as it was exported, not in %s: give --dtype float32", d.Exported.Path, t.Compute)
	}
	graphs, err := buildAll(map[string]func(*net){HeadGraph: d.head}, t)
	if err == nil {
		graphs[BodyGraph] = d.Exported.Body
	}
	return graphs, err
}

func (d Decoder) exportedShapes() map[string][]int64 {
	shapes := map[string][]int64{}
	for name, w := range d.Exported.Weights {
		shapes[name] = w.Shape
	}
	return shapes
}

// saveExported writes the file again with other weights, by tensor, in float32 as its own are.
func (m *Model) saveExported(dir string, weights map[string][]byte) error {
	return m.Exported.Write(dir, func(tensor string) []byte { return weights[tensor] })
}
