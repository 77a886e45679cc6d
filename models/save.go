package models

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// companions are the files that a model directory needs beside its weights; those there are copied as they are.
var companions = []string{"generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
	"added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json"}

// SaveTypes maps the names of types that weights are saved in to safetensors' names.
var SaveTypes = map[string]string{"float32": "F32", "bfloat16": "BF16", "float16": "F16"}

// Survival says how much of a run's update is left after rounding weights to a narrower type.
type Survival struct{ Changed, Kept int64 }

// Share is the part of changed elements whose change survives, from 0 to 1.
func (s Survival) Share() float64 {
	if s.Changed == 0 {
		return 1
	}
	return float64(s.Kept) / float64(s.Changed)
}

// Save writes the model with other weights as a Hugging Face directory, or of an adapter the adapter alone, as PEFT has it: weights(name)
// gives a tensor of Trained as float32 bytes, and saveType is float32, bfloat16, float16 or source (each tensor's own type). The weights
// come last, atomically. Survival counts the elements that differ from m's, and of those the ones that still do as saved.
func (m *Model) Save(dir, saveType string, weights func(name string) ([]byte, error)) (Survival, error) {
	var kept Survival
	if err := m.saveCompanions(dir, saveType); err != nil {
		return kept, fmt.Errorf("save model: %w", err)
	}
	var entries []safetensors.Entry
	exact := map[string][]byte{}
	for _, name := range m.Trained() {
		source, err := m.Tensor(name)
		if err != nil {
			return kept, fmt.Errorf("save model: %w", err)
		}
		data, err := weights(name)
		if err != nil {
			return kept, fmt.Errorf("save model: %w", err)
		}
		dtype := SaveTypes[saveType]
		if saveType == "source" {
			dtype = source.DType
		}
		after := safetensors.Tensor{DType: "F32", Shape: source.Shape, Data: data}
		saved, err := kept.convert(source, after, dtype)
		if err != nil {
			return kept, fmt.Errorf("save model: tensor %s: %w", name, err)
		}
		entries = append(entries, safetensors.Entry{Name: name, DType: dtype, Shape: source.Shape, Data: saved})
		if m.Exported != nil {
			exact[name] = data
		}
	}
	switch {
	case m.adapter != nil:
		return kept, m.saveAdapter(dir, entries)
	case m.Exported != nil:
		if err := m.saveExported(dir, exact); err != nil {
			return kept, fmt.Errorf("save model: %w", err)
		}
	}
	return kept, safetensors.Write(filepath.Join(dir, weightsName), entries, map[string]string{"format": "pt"})
}

// saveChunk is how many elements are rounded and compared at once, in buffers of their own.
const saveChunk = 1 << 16

// convert rounds a trained tensor, float32, to a type, and counts what that leaves of its change.
func (s *Survival) convert(before, after safetensors.Tensor, dtype string) ([]byte, error) {
	n := len(after.Data) / 4
	saved := safetensors.Tensor{DType: dtype, Data: after.Data}
	if dtype != after.DType {
		saved.Data = make([]byte, n*map[string]int{"BF16": 2, "F16": 2}[dtype])
	}
	buffers := make([]float32, 3*min(saveChunk, n))
	for at := 0; at < n; at += saveChunk {
		last := min(at+saveChunk, n)
		size := last - at
		was, is, rounded := buffers[:size], buffers[size:2*size], buffers[2*size:3*size]
		part := func(t safetensors.Tensor) safetensors.Tensor {
			width := len(t.Data) / n
			return safetensors.Tensor{DType: t.DType, Data: t.Data[at*width : last*width]}
		}
		err := errors.Join(safetensors.Decode(part(before), was), safetensors.Decode(part(after), is))
		if err == nil && dtype != after.DType {
			err = safetensors.Encode(is, dtype, part(saved).Data)
		}
		if err == nil {
			err = safetensors.Decode(part(saved), rounded)
		}
		if err != nil {
			return nil, err
		}
		s.count(was, is, rounded)
	}
	return saved.Data, nil
}

func (s *Survival) count(was, is, rounded []float32) {
	for i, x := range is {
		if x != was[i] {
			s.Changed++
			if rounded[i] != was[i] {
				s.Kept++
			}
		}
	}
}

func (m *Model) saveCompanions(dir, saveType string) error {
	if err := safefile.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if m.adapter != nil {
		return errors.Join(copyFiles(dir, m.Base, companions[1:]), copyFiles(dir, m.Dir, companions[1:]), m.saveAdapterConfig(dir))
	}
	if err := copyFiles(dir, m.Dir, companions); err != nil || m.Exported != nil {
		return errors.Join(err, copyFiles(dir, m.Dir, []string{configName, "genai_config.json"}))
	}
	return m.saveConfig(filepath.Join(dir, configName), saveType)
}

// copyFiles copies those of the files that are there.
func copyFiles(dir, from string, names []string) error {
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = safefile.Write(filepath.Join(dir, name), data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// saveConfig copies config.json with the type that the weights are saved in, under the key that the source uses.
func (m *Model) saveConfig(path, saveType string) error {
	c, err := ReadConfig(m.Base)
	if err != nil {
		return err
	}
	change := map[string]any{}
	if saveType != "source" {
		key := "dtype"
		if _, old := c.fields["torch_dtype"]; old {
			key = "torch_dtype"
		}
		change[key] = saveType
	}
	if m.untied {
		change["tie_word_embeddings"] = false
	}
	if len(change) == 0 {
		return safefile.Write(path, c.text)
	}
	return c.write(path, change)
}
