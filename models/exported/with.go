package exported

import "fmt"

// With is the file with other weights: data gives a tensor's as float32. All else is as it was read.
func (m *Model) With(data func(tensor string) []byte) ([]byte, error) {
	constants := map[string][]byte{}
	for name, w := range m.Weights {
		now := data(name)
		if len(now) != len(w.Data) {
			return nil, fmt.Errorf("write model: weight %s has %d bytes, %d are needed", name, len(now), len(w.Data))
		}
		for constant, transposed := range w.constants {
			if constants[constant] = now; transposed {
				constants[constant] = turned(now, w.Shape[0], w.Shape[1])
			}
		}
	}
	for _, v := range m.file.Constants() {
		if now, ok := constants[v.Name]; ok {
			own := *v.Const
			own.Data = now
			v.Const = &own
		}
	}
	return m.file.Marshal()
}
