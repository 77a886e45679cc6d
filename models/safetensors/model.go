package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

const (
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
)

// Model is the weights of a Hugging Face model directory, in one file or in several (shards).
type Model struct {
	files    []*File
	home     map[string]*File
	metadata map[string]string
}

// OpenModel opens dir's model.safetensors or, where there is none, the files that model.safetensors.index.json names,
// which must all be there and hold the tensors that it says. As in transformers, a tensor that the index leaves out but a
// shard holds is part of the model.
func OpenModel(dir string) (*Model, error) {
	single := filepath.Join(dir, singleFile)
	if _, err := os.Stat(single); !errors.Is(err, fs.ErrNotExist) {
		f, err := Open(single)
		if err != nil {
			return nil, err
		}
		m := &Model{home: map[string]*File{}, metadata: f.Metadata()}
		return m, m.add(f)
	}
	index, err := readIndex(dir)
	if err != nil {
		return nil, err
	}
	m := &Model{home: map[string]*File{}, metadata: index.metadata()}
	if err := m.openShards(dir, index.WeightMap); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", filepath.Join(dir, indexFile), err), m.Close())
	}
	return m, nil
}

type index struct {
	Metadata  map[string]any    `json:"metadata"`
	WeightMap map[string]string `json:"weight_map"`
}

func readIndex(dir string) (*index, error) {
	path := filepath.Join(dir, indexFile)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the weights in %s: it holds neither %s nor %s: %w", dir, singleFile, indexFile, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, cause(err))
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxHeader+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	case len(text) > maxHeader:
		return nil, fmt.Errorf("read %s: %w", path, ErrHeaderTooLong)
	}
	x, err := parseIndex(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", path, ErrIndex, err)
	}
	return x, nil
}

// parseIndex takes the fields by their exact names, which encoding/json does not.
func parseIndex(text []byte) (*index, error) {
	var fields map[string]json.RawMessage
	if err := plainjson.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	x := &index{}
	for name, into := range map[string]any{"metadata": &x.Metadata, "weight_map": &x.WeightMap} {
		if fields[name] != nil && json.Unmarshal(fields[name], into) != nil {
			return nil, fmt.Errorf("its %s is no object of names and files, or what else it should be: %.100s", name, fields[name])
		}
	}
	if len(x.WeightMap) == 0 {
		return nil, errors.New("it has no weight_map")
	}
	return x, nil
}

// metadata keeps the entries that are strings; others, such as total_size, describe the shards.
func (x *index) metadata() map[string]string {
	out := map[string]string{}
	for k, v := range x.Metadata {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

// openShards opens every file of the index, and reports all that is wrong with their list at once.
func (m *Model) openShards(dir string, weightMap map[string]string) error {
	opened := map[string]*File{}
	var missing []string
	for _, shard := range slices.Compact(slices.Sorted(maps.Values(weightMap))) {
		if !filepath.IsLocal(shard) || strings.Contains(shard, `\`) {
			return fmt.Errorf("%w: %q", ErrShardPath, shard)
		}
		f, err := Open(filepath.Join(dir, shard))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, shard)
			continue
		case err != nil:
			return err
		}
		opened[shard] = f
		if err := m.add(f); err != nil {
			return err
		}
	}
	if missing != nil {
		return fmt.Errorf("%w: missing %s: %w", ErrIndex, strings.Join(missing, ", "), fs.ErrNotExist)
	}
	for _, name := range slices.Sorted(maps.Keys(weightMap)) {
		if f := opened[weightMap[name]]; m.home[name] != f {
			return fmt.Errorf("%w: tensor %s is not in %s", ErrIndex, name, weightMap[name])
		}
	}
	return nil
}

// add takes over f and its tensors.
func (m *Model) add(f *File) error {
	m.files = append(m.files, f)
	for _, name := range f.names {
		if other, twice := m.home[name]; twice {
			return fmt.Errorf("tensor %s: %w: in %s and %s", name, ErrDuplicate, filepath.Base(other.path), filepath.Base(f.path))
		}
		m.home[name] = f
	}
	return nil
}

// Names lists the tensors of all files, sorted.
func (m *Model) Names() []string { return slices.Sorted(maps.Keys(m.home)) }

// Tensor finds a tensor by name.
func (m *Model) Tensor(name string) (Tensor, error) {
	f, ok := m.home[name]
	if !ok {
		return Tensor{}, fmt.Errorf("tensor %s: %w in the model", name, ErrNoTensor)
	}
	return f.Tensor(name)
}

// Metadata is that of the single file, or the strings among the index's.
func (m *Model) Metadata() map[string]string { return maps.Clone(m.metadata) }

// Close unmaps all files. No Data of their tensors may be read afterwards.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	m.files, m.home = nil, map[string]*File{}
	return errors.Join(errs...)
}
