package safetensors_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// A file that the reference implementation wrote comes back byte for byte.
func TestWritesTheReferenceBytes(t *testing.T) {
	theirs := golden.Shared(t, "models/stories260K-hf/model.safetensors")
	ours := filepath.Join(t.TempDir(), "model.safetensors")
	f, err := safetensors.Open(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var entries []safetensors.Entry
	for _, name := range f.Names() {
		x, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, safetensors.Entry{Name: name, DType: x.DType, Shape: x.Shape, Data: x.Data})
	}
	if err := safetensors.Write(ours, entries, f.Metadata()); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(ours); err != nil || !bytes.Equal(got, want) {
		t.Errorf("wrote %d bytes that differ from the reference's %d: %v", len(got), len(want), err)
	}
}
