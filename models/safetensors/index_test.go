package safetensors

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzIndex checks that whatever an index names, only files of its folder are opened, and every tensor of it is found.
func FuzzIndex(f *testing.F) {
	f.Add(`{"metadata":{"total_size":8},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`)
	f.Add(`{"weight_map":{"a":"../1.safetensors"}}`)
	f.Add(`{"weight_map":{"a":"1.safetensors"},"weight_map":{}}`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		for name, tensor := range map[string]string{"1.safetensors": "a", "2.safetensors": "b"} {
			if err := Write(filepath.Join(dir, name), []Entry{{tensor, "U8", []int64{1}, []byte{1}}}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, indexFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := OpenModel(dir)
		if err != nil {
			return
		}
		defer m.Close()
		for _, name := range m.Names() {
			if x, err := m.Tensor(name); err != nil || len(x.Data) != 1 {
				t.Fatalf("tensor %s: %v, %v", name, x, err)
			}
		}
	})
}
