package models

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// WriteMerged writes the model that computes what a base does with its adapter, as a Hugging Face directory without one: W + scale·B·A, of
// DoRA m/‖W + scale·B·A‖ times that. Saved in saveType, see [Model.Save]. Where an adapter changes embedding or head of a base that has one
// matrix for both, the merged model has two.
func WriteMerged(dir, adapter, saveType string) error {
	m, err := Open(adapter)
	if err != nil {
		return err
	}
	defer m.Close()
	if m.adapter == nil {
		return fmt.Errorf("merge: %s is a model without an adapter", adapter)
	}
	whole, err := m.openWhole()
	if err != nil {
		return err
	}
	defer whole.Close()
	if _, err = whole.Save(dir, saveType, m.merged); err != nil {
		return err
	}
	return copyFiles(dir, m.Dir, companions[1:]) // what the adapter was trained with comes before its base's
}

// openWhole opens an adapter's base as the model that the two are together, whose tensors merged gives.
func (m *Model) openWhole() (*Model, error) {
	whole, err := Open(m.Base)
	if err != nil {
		return nil, err
	}
	_, table := m.Adapter.Modules[m.embedModule()]
	_, head := m.Adapter.Modules[m.headModule()]
	if m.Tied && (table || head) {
		whole.Tied, whole.untied = false, true
	}
	return whole, nil
}

// merged is a tensor of the base as the adapter changes it, as float32 bytes.
func (m *Model) merged(name string) ([]byte, error) {
	module := strings.TrimSuffix(name, ".weight")
	t, err := m.moduleWeight(module)
	if !strings.HasSuffix(name, ".weight") {
		t, err = m.base(name)
	}
	if err != nil {
		return nil, err
	}
	w, err := decoded(t)
	if err != nil {
		return nil, err
	}
	if low, ok := m.Adapter.Modules[module]; ok {
		if m.inByOut(module) {
			w = transposed(w, int(t.Shape[1]))
		}
		if err := m.add(w, module, low); err != nil {
			return nil, err
		}
		if m.inByOut(module) {
			w = transposed(w, int(t.Shape[0]))
		}
	}
	data := make([]byte, 4*len(w))
	return data, safetensors.Encode(w, "F32", data)
}

// inByOut reports whether a module's weight lies as [in,out].
func (m *Model) inByOut(module string) bool {
	return m.Transposed && strings.HasPrefix(module, m.named("model.layers")+".")
}

// add adds a module's change to its weight [out,in], row by row, each number in float64.
func (m *Model) add(w []float32, module string, low LowRank) error {
	lookup := module == m.embedModule()
	names := []string{module + ".lora_A.weight", module + ".lora_B.weight"}
	if lookup {
		names = []string{module + ".lora_embedding_B", module + ".lora_embedding_A"}
	}
	right, err := m.adapterFloats(names[0])
	if err != nil {
		return err
	}
	left, err := m.adapterFloats(names[1])
	if err != nil {
		return err
	}
	if lookup { // rows of the table are columns of A, and its columns rows of B
		right, left = transposed(right, low.Rank), transposed(left, len(left)/low.Rank)
	}
	var magnitude []float32
	if m.Adapter.DoRA {
		if magnitude, err = m.adapterFloats(module + ".lora_magnitude_vector"); err != nil {
			return err
		}
	}
	rows, columns := len(left)/low.Rank, len(right)/low.Rank
	inParallel(rows, func(i int) {
		row := make([]float64, columns)
		for r, b := range left[i*low.Rank : (i+1)*low.Rank] {
			for j, a := range right[r*columns : (r+1)*columns] {
				row[j] += float64(b) * float64(a)
			}
		}
		squares := 0.0
		for j, x := range w[i*columns : (i+1)*columns] {
			row[j] = float64(x) + low.Scale*row[j]
			squares += row[j] * row[j]
		}
		factor := 1.0
		if magnitude != nil {
			factor = float64(magnitude[i]) / math.Sqrt(squares)
		}
		for j, x := range row {
			w[i*columns+j] = float32(factor * x)
		}
	})
	return nil
}

// adapterFloats decodes a tensor of the adapter.
func (m *Model) adapterFloats(name string) ([]float32, error) {
	t, err := m.adapter.Tensor(peftPrefix + name)
	if err != nil {
		return nil, err
	}
	return decoded(t)
}

// transposed turns a matrix of so many columns.
func transposed(x []float32, columns int) []float32 {
	rows := len(x) / columns
	out := make([]float32, len(x))
	for i, v := range x {
		out[i%columns*rows+i/columns] = v
	}
	return out
}

// inParallel calls f for 0 to n−1, on all cores.
func inParallel(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.NumCPU()) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}
