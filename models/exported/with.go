package exported

import (
	"bufio"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// inside is how many bytes of weights an ONNX file holds itself; of more it has a file beside it, for it cannot have 2 GiB.
const inside = 1 << 30

// Write writes the file again, under its own name, into a folder: with other weights, of which data gives each tensor's as float32. All else
// is as it was read. Large weights go to NAME.onnx.data beside it.
func (m *Model) Write(dir string, data func(tensor string) []byte) error {
	return m.write(dir, data, inside)
}

func (m *Model) write(dir string, data func(tensor string) []byte, inside int64) error {
	now, total := map[string]func() []byte{}, int64(0)
	for name, w := range m.Weights {
		if got := len(data(name)); got != w.size() {
			return fmt.Errorf("weight %s has %d bytes, %d are needed", name, got, w.size())
		}
		for constant, transposed := range w.constants {
			total += int64(w.size())
			now[constant] = func() []byte {
				if transposed {
					return turned(data(name), w.Shape[0], w.Shape[1])
				}
				return data(name)
			}
		}
	}
	path := filepath.Join(dir, filepath.Base(m.Path))
	beside := &onnx.Beside{Location: filepath.Base(path) + ".data"}
	var large []*onnx.Value
	kept := map[*onnx.Value]*onnx.Tensor{}
	defer func() {
		for v, t := range kept {
			v.Const = t
		}
	}()
	for _, v := range m.file.Constants() {
		of := now[v.Name]
		if of == nil {
			continue
		}
		kept[v] = v.Const
		if total > inside {
			v.Const, large = beside.Place(v.Const.Type, v.Const.Dims...), append(large, v)
		} else {
			v.Const = &onnx.Tensor{Type: v.Const.Type, Dims: v.Const.Dims, Data: of()}
		}
	}
	if large != nil {
		if err := writeBeside(filepath.Join(dir, beside.Location), beside, large, now); err != nil {
			return err
		}
	}
	model, err := m.file.Marshal()
	if err != nil {
		return err
	}
	return safefile.Write(path, model)
}

// writeBeside writes the weights one after the other.
func writeBeside(path string, beside *onnx.Beside, values []*onnx.Value, now map[string]func() []byte) (err error) {
	f, err := safefile.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Abort()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	for _, v := range values {
		if err := beside.Write(w, v.Const, now[v.Name]()); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Commit()
}
