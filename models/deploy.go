package models

import (
	"bufio"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// The files of a model for inference.
const (
	InferenceModel = "model.onnx"
	inferenceData  = "model.onnx.data"
)

// The ways in which a model for inference stores its matrices. What is no matrix, and a table of positions that are learned, is float32 or
// of the source's type; the graph computes in float32.
const (
	Float32Weights = "float32"
	SourceWeights  = "source" // each tensor's own type, cast as the model is opened
	Int8Weights    = "int8"   // blocks of 32 numbers with a scale
	Int4Weights    = "int4"   // such blocks; embedding and head in 8 bits
)

// InferenceWeights lists them.
var InferenceWeights = []string{Float32Weights, SourceWeights, Int8Weights, Int4Weights}

// Inference is a model that ONNX Runtime GenAI and Optimum open: a graph with keys and values that goes on where it was, see its inputs in
// inference.go, and its weights. It reads them from the model's files until Close.
type Inference struct {
	Graph   *onnx.Graph
	Decoder Decoder

	whole, adapter *Model // adapter is nil for none
	sampling       sampling
	store          string
	values         map[string]*onnx.Value // by the checkpoint's names
	held           []held
	beside         onnx.Beside
}

// held are constants that are made of one tensor.
type held struct {
	tensors []*onnx.Tensor
	encode  func() ([][]byte, error)
}

// OpenInference makes the graph of a Hugging Face directory's language model; an adapter is merged with its base. store is one of
// InferenceWeights. Nothing is converted yet.
func OpenInference(dir, store string) (*Inference, error) {
	m, err := Open(dir)
	if err != nil {
		return nil, err
	}
	x := &Inference{whole: m, store: store, values: map[string]*onnx.Value{}, beside: onnx.Beside{Location: inferenceData}}
	if err := x.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("export %s for inference: %w", dir, err), x.Close())
	}
	return x, nil
}

func (x *Inference) open() (err error) {
	switch {
	case x.whole.Scalar:
		return errors.New("it is a reward model, which continues no text")
	case x.whole.Exported != nil:
		return errors.New("it is an ONNX model already: train writes it back as it came, with its inputs for a cache where it has any")
	}
	if x.whole.adapter != nil {
		whole, err := x.whole.openWhole()
		if err != nil {
			return err
		}
		x.adapter, x.whole = x.whole, whole
	}
	if x.sampling, err = readSampling(x.whole.Dir); err != nil {
		return err
	}
	x.Decoder = x.whole.Decoder
	x.Graph, err = onnx.Build("model", func(b *onnx.Builder) {
		n := &net{Builder: b, types: Types{Compute: onnx.Float32, Weights: onnx.Float32}, packed: map[*onnx.Value]*packed{}}
		x.Decoder.inference(n, func(p blockParam) *onnx.Value { return x.hold(n, p) })
	})
	return err
}

// Close unmaps the model's files.
func (x *Inference) Close() error {
	err := x.whole.Close()
	if x.adapter != nil {
		err = errors.Join(err, x.adapter.Close())
	}
	return err
}

// Folders are those that the model is read from: its own, and an adapter's.
func (x *Inference) Folders() []string {
	if x.adapter != nil {
		return []string{x.whole.Dir, x.adapter.Dir}
	}
	return []string{x.whole.Dir}
}

// hold is the constant that a parameter is; one tensor is held once, whatever reads it.
func (x *Inference) hold(n *net, p blockParam) *onnx.Value {
	if v := x.values[p.tensor]; v != nil {
		return v
	}
	if bits := x.bits(p); bits != 0 {
		x.values[p.tensor] = x.heldPacked(n, p, bits)
	} else {
		x.values[p.tensor] = x.heldFloats(n, p)
	}
	return x.values[p.tensor]
}

// bits is how many a parameter's numbers have; 0 where they are floating-point.
func (x *Inference) bits(p blockParam) int64 {
	outside := p.input == EmbedGraph || p.input == "unembed"
	switch {
	case len(p.shape) != 2 || p.input == "positions.table":
	case x.store == Int8Weights, x.store == Int4Weights && outside:
		return 8
	case x.store == Int4Weights:
		return 4
	}
	return 0
}

// heldFloats holds a parameter as floating-point numbers.
func (x *Inference) heldFloats(n *net, p blockParam) *onnx.Value {
	dtype := "F32"
	if x.store == SourceWeights && len(p.shape) == 2 {
		source, err := x.whole.Tensor(p.tensor)
		if err != nil {
			n.Fail("%w", err)
		}
		dtype = source.DType
	}
	types := map[string]onnx.DType{"F32": onnx.Float32, "F16": onnx.Float16, "BF16": onnx.BFloat16}
	t := x.beside.Place(types[dtype], p.shape...)
	x.held = append(x.held, held{[]*onnx.Tensor{t}, func() ([][]byte, error) {
		data, err := x.tensor(p.tensor, dtype)
		return [][]byte{data}, err
	}})
	return n.Initializer(p.tensor, t)
}

// heldPacked holds a matrix in few bits; the value stands for it in the graph, which has nodes of its parts.
func (x *Inference) heldPacked(n *net, p blockParam, bits int64) *onnx.Value {
	out, in := p.shape[0], p.shape[1]
	turn := x.Decoder.Transposed && p.input != EmbedGraph && p.input != "unembed"
	if turn {
		out, in = in, out
	}
	blocks := packedBlocks(in)
	weight, scales := x.beside.Place(onnx.Uint8, out, blocks, packedBlock*bits/8), x.beside.Place(onnx.Float32, out, blocks)
	x.held = append(x.held, held{[]*onnx.Tensor{weight, scales}, func() ([][]byte, error) {
		source, err := x.source(p.tensor)
		if err != nil {
			return nil, err
		}
		w, err := decoded(source)
		if err != nil {
			return nil, err
		}
		if turn {
			w = transposed(w, int(p.shape[1]))
		}
		bytes, numbers := pack(w, int(in), bits)
		data := make([]byte, 4*len(numbers))
		return [][]byte{bytes, data}, safetensors.Encode(numbers, "F32", data)
	}})
	v := &onnx.Value{Name: p.tensor, Type: onnx.Float32, Shape: onnx.Dims(p.shape...)}
	module := strings.TrimSuffix(p.tensor, ".weight")
	n.packed[v] = &packed{weight: n.Initializer(module+".qweight", weight), scales: n.Initializer(module+".scales", scales), bits: bits, out: out, in: in}
	return v
}

// source is a tensor of the model, as an adapter changes it.
func (x *Inference) source(name string) (safetensors.Tensor, error) {
	t, err := x.whole.Tensor(name)
	if err != nil || x.adapter == nil {
		return t, err
	}
	t.DType = "F32"
	t.Data, err = x.adapter.merged(name)
	return t, err
}

// tensor gives a tensor's elements in a type.
func (x *Inference) tensor(name, dtype string) ([]byte, error) {
	t, err := x.source(name)
	if err != nil || t.DType == dtype {
		return t.Data, err
	}
	sizes := map[string]int{"F32": 4, "F16": 2, "BF16": 2}
	n, from, to := int(elements(t.Shape)), sizes[t.DType], sizes[dtype]
	data, buffer := make([]byte, n*to), make([]float32, min(saveChunk, n))
	for at := 0; at < n; at += saveChunk {
		last := min(at+saveChunk, n)
		part := buffer[:last-at]
		err := safetensors.Decode(safetensors.Tensor{DType: t.DType, Data: t.Data[at*from : last*from]}, part)
		if err == nil {
			err = safetensors.Encode(part, dtype, data[at*to:last*to])
		}
		if err != nil {
			return nil, err
		}
	}
	return data, nil
}

// Size is how many bytes the weights take.
func (x *Inference) Size() int64 { return x.beside.Size() }

// Tensors is how many of the model's are written.
func (x *Inference) Tensors() int { return len(x.held) }

// Parameters counts the model's.
func (x *Inference) Parameters() int64 { return x.whole.Parameters() }

// Write writes the folder: model.onnx, its weights beside it (one tensor at a time in memory), genai_config.json, and what transformers
// needs. eos are further tokens that end a text. It yields how many tensors are written; a loop that is left early leaves a folder that is
// not whole.
func (x *Inference) Write(dir string, eos []int32) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		more := true
		err := x.write(dir, eos, func(tensors int) bool {
			more = yield(tensors, nil)
			return more
		})
		if err != nil && more {
			yield(0, err)
		}
	}
}

// errLeft ends a write whose caller wants no more of it.
var errLeft = errors.New("the loop was left")

func (x *Inference) write(dir string, eos []int32, told func(int) bool) error {
	if err := safefile.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := x.writeData(filepath.Join(dir, inferenceData), told); err != nil {
		return err
	}
	model, err := x.Graph.Marshal()
	if err != nil {
		return err
	}
	if err := safefile.Write(filepath.Join(dir, InferenceModel), model); err != nil {
		return err
	}
	return x.writeConfigs(dir, eos)
}

// writeData streams the weights.
func (x *Inference) writeData(path string, told func(int) bool) (err error) {
	f, err := safefile.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Abort()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	for done, h := range x.held {
		data, err := h.encode()
		if err != nil {
			return err
		}
		for i, t := range h.tensors {
			if err := x.beside.Write(w, t, data[i]); err != nil {
				return err
			}
		}
		if !told(done + 1) {
			return errLeft
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Commit()
}
