package dpo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// deployed is a model for inference as it lies in a folder.
type deployed struct {
	models.Decoder
	session *ort.Session
}

// openDeployed opens it.
func openDeployed(dir string, d models.Decoder, threads int) (*deployed, error) {
	model, err := os.ReadFile(filepath.Join(dir, models.InferenceModel))
	if err != nil {
		return nil, err
	}
	s, err := ort.NewSession(model, ort.Options{Name: models.InferenceModel, Threads: threads, Folder: dir})
	return &deployed{d, s}, err
}

func (m *deployed) close() error { return m.session.Close() }

// unfinished are B sequences of so many tokens, as their model left them.
type unfinished struct {
	batch, length int
	past          map[string]*ort.Tensor // keys and values [B,KV,length,d], by the outputs' names; nil before the first token
}

// step runs S further tokens of each sequence, row by row: ids and positions [B·S], and mask [B·(length+S)] of all tokens, 0 for padding.
// The logits are [B·S,V].
func (m *deployed) step(c *unfinished, ids, positions, mask []int64) (logits []float32, err error) {
	S := len(ids) / c.batch
	inputs, outputs, err := m.caches(c, S)
	B := int64(c.batch)
	for name, values := range map[string][]int64{"input_ids": ids, "position_ids": positions, "attention_mask": mask} {
		var data []byte
		for _, x := range values {
			data = binary.LittleEndian.AppendUint64(data, uint64(x))
		}
		var e error
		inputs[name], e = ort.HostTensor(data, ort.Int64, B, int64(len(values))/B)
		err = errors.Join(err, e)
	}
	out, e := floats32(B, int64(S), int64(m.Vocab))
	outputs["logits"] = out
	if err = errors.Join(err, e); err == nil {
		err = m.session.Run(inputs, outputs)
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", models.InferenceModel, err)
	}
	c.length += S
	c.past = outputs
	return out.Float32s(), nil
}

// floats32 is a tensor of float32 in memory of its own.
func floats32(shape ...int64) (*ort.Tensor, error) {
	size := int64(4)
	for _, n := range shape {
		size *= n
	}
	return ort.HostTensor(make([]byte, size), ort.Float32, shape...)
}

// caches are keys and values before and after so many further tokens, by the names of inputs and outputs.
func (m *deployed) caches(c *unfinished, further int) (past, present map[string]*ort.Tensor, err error) {
	past, present = map[string]*ort.Tensor{}, map[string]*ort.Tensor{}
	for layer := range m.Layers {
		for _, what := range []string{"key", "value"} {
			before, after := models.CacheNames(layer, what)
			empty := func(length int) *ort.Tensor {
				t, e := floats32(int64(c.batch), int64(m.KVHeads), int64(length), int64(m.HeadDim))
				err = errors.Join(err, e)
				return t
			}
			past[before], present[after] = c.past[after], empty(c.length+further)
			if c.past == nil {
				past[before] = empty(0)
			}
		}
	}
	return past, present, err
}

// logProbs are those of the tokens of one sequence, but for the first, given those before.
func (m *deployed) logProbs(ids []int32) ([]float64, error) {
	n := len(ids)
	in, positions, mask := make([]int64, n), make([]int64, n), make([]int64, n)
	for i, id := range ids {
		in[i], positions[i], mask[i] = int64(id), int64(i), 1
	}
	logits, err := m.step(&unfinished{batch: 1}, in, positions, mask)
	if err != nil {
		return nil, err
	}
	out := make([]float64, n-1)
	for i := range out {
		row := logits[i*m.Vocab : (i+1)*m.Vocab]
		out[i] = float64(row[ids[i+1]]) - logSumExp(row)
	}
	return out, nil
}

// logSumExp is log Σ exp x.
func logSumExp(x []float32) float64 {
	most, sum := math.Inf(-1), 0.0
	for _, v := range x {
		most = max(most, float64(v))
	}
	for _, v := range x {
		sum += math.Exp(float64(v) - most)
	}
	return most + math.Log(sum)
}
