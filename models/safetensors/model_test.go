package safetensors

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shard writes one-byte tensors of these names.
func shard(t *testing.T, path string, names ...string) {
	t.Helper()
	var entries []Entry
	for _, n := range names {
		entries = append(entries, Entry{n, "U8", []int64{1}, []byte{n[0]}})
	}
	if err := Write(path, entries, nil); err != nil {
		t.Fatal(err)
	}
}

func TestOpenModel(t *testing.T) {
	for name, c := range map[string]struct {
		index string
		want  error
		says  string
	}{
		"whole":          {`{"metadata":{"total_size":3,"format":"pt"},"weight_map":{"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"}}`, nil, ""},
		"unlisted":       {`{"weight_map":{"a":"1.safetensors","c":"2.safetensors"}}`, nil, ""},
		"subfolder":      {`{"weight_map":{"d":"sub/3.safetensors"}}`, nil, ""},
		"misplaced":      {`{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`, ErrIndex, "tensor b is not in 2.safetensors"},
		"no such tensor": {`{"weight_map":{"x":"1.safetensors"}}`, ErrIndex, "tensor x"},
		"all missing":    {`{"weight_map":{"a":"8.safetensors","b":"9.safetensors"}}`, fs.ErrNotExist, "8.safetensors, 9.safetensors"},
		"one missing":    {`{"weight_map":{"a":"1.safetensors","b":"9.safetensors"}}`, ErrIndex, "9.safetensors"},
		"upwards":        {`{"weight_map":{"a":"../1.safetensors"}}`, ErrShardPath, "../1.safetensors"},
		"absolute":       {`{"weight_map":{"a":"/etc/passwd"}}`, ErrShardPath, "/etc/passwd"},
		"backslash":      {`{"weight_map":{"a":"..\\1.safetensors"}}`, ErrShardPath, ""},
		"nameless":       {`{"weight_map":{"a":""}}`, ErrShardPath, ""},
		"twice":          {`{"weight_map":{"a":"1.safetensors","c":"4.safetensors"}}`, ErrDuplicate, "tensor a"},
		"broken shard":   {`{"weight_map":{"a":"broken.safetensors"}}`, ErrTruncated, "broken.safetensors"},
		"no map":         {`{}`, ErrIndex, "weight_map"},
		"not JSON":       {`{"weight_map":`, ErrIndex, "index.json"},
		"wrong type":     {`{"weight_map":{"a":1}}`, ErrIndex, "index.json"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			shard(t, filepath.Join(dir, "1.safetensors"), "a", "b")
			shard(t, filepath.Join(dir, "2.safetensors"), "c")
			shard(t, filepath.Join(dir, "sub/3.safetensors"), "d")
			shard(t, filepath.Join(dir, "4.safetensors"), "a", "c")
			put(t, filepath.Join(dir, "broken.safetensors"), "short")
			put(t, filepath.Join(dir, indexFile), c.index)
			m, err := OpenModel(dir)
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %v that says %q", err, c.want, c.says)
			}
			if err != nil {
				return
			}
			defer m.Close()
			for _, n := range m.Names() {
				if x, err := m.Tensor(n); err != nil || x.Data[0] != n[0] {
					t.Errorf("tensor %s: %v %v", n, x, err)
				}
			}
		})
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestModelNamesAndMetadata(t *testing.T) {
	dir := t.TempDir()
	shard(t, filepath.Join(dir, "1.safetensors"), "b", "a")
	shard(t, filepath.Join(dir, "2.safetensors"), "c")
	put(t, filepath.Join(dir, indexFile), `{"metadata":{"total_size":3,"format":"pt"},"weight_map":{"a":"1.safetensors","c":"2.safetensors"}}`)
	m, err := OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Names(); !slices.Equal(got, []string{"a", "b", "c"}) || len(m.Metadata()) != 1 || m.Metadata()["format"] != "pt" {
		t.Errorf("names %v, metadata %v", got, m.Metadata())
	}
	if _, err := m.Tensor("d"); !errors.Is(err, ErrNoTensor) {
		t.Errorf("a tensor that is not there: %v", err)
	}
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Error(err)
	}
}

// A single file comes before an index, and what is wrong with it is not hidden by the index.
func TestSingleFileFirst(t *testing.T) {
	dir := t.TempDir()
	shard(t, filepath.Join(dir, singleFile), "x")
	put(t, filepath.Join(dir, indexFile), `{"weight_map":{"a":"none"}}`)
	m, err := OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := m.Names(); !slices.Equal(got, []string{"x"}) {
		t.Errorf("names %v", got)
	}
	put(t, filepath.Join(dir, singleFile+".2"), "")
	if err := os.Rename(filepath.Join(dir, singleFile+".2"), filepath.Join(dir, singleFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenModel(dir); !errors.Is(err, ErrTruncated) {
		t.Errorf("an empty file: %v", err)
	}
}

func TestNoWeights(t *testing.T) {
	_, err := OpenModel(t.TempDir())
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), singleFile) || !strings.Contains(err.Error(), indexFile) {
		t.Errorf("got %v", err)
	}
}
