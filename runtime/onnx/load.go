package onnx

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/onnx/internal/onnxpb"
)

// ErrExternalPath is in the chain of an error about external data that lies outside the model's folder.
var ErrExternalPath = errors.New("external data must lie in the model's folder")

// Load reads a model file, and the tensors whose data lies in files beside it. Such a path must be relative, without
// "..", and without a link on its way, whatever ONNX Runtime itself would accept.
func Load(path string) (*Graph, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read ONNX model: %w", err)
	}
	dir := filepath.Dir(path)
	g, err := decodeModel(data, func(t *onnxpb.TensorProto) ([]byte, error) { return externalData(dir, t) })
	if err != nil {
		return nil, fmt.Errorf("read ONNX model %s: %w", path, err)
	}
	return g, nil
}

func externalData(dir string, t *onnxpb.TensorProto) ([]byte, error) {
	entries := map[string]string{}
	for _, e := range t.ExternalData {
		if _, twice := entries[e.GetKey()]; twice {
			return nil, fmt.Errorf("external data: %q comes twice", e.GetKey())
		}
		entries[e.GetKey()] = e.GetValue()
	}
	size, err := countElems(t.Dims)
	if err != nil {
		return nil, err
	}
	size *= int64(DType(t.GetDataType()).Size())
	offset, length := int64(0), size
	for key, into := range map[string]*int64{"offset": &offset, "length": &length} {
		if text, ok := entries[key]; ok {
			if *into, err = strconv.ParseInt(text, 10, 64); err != nil || *into < 0 {
				return nil, fmt.Errorf("external data: %s %q is no size", key, text)
			}
		}
	}
	if length != size {
		return nil, fmt.Errorf("external data: %d bytes for a tensor of %d", length, size)
	}
	f, err := openExternal(dir, entries["location"])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	if offset > info.Size() || length > info.Size()-offset {
		return nil, fmt.Errorf("external data: %s has %d bytes, %d from %d on are asked for", entries["location"], info.Size(), length, offset)
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(f, offset, length), data); err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	return data, nil
}

// openExternal opens a regular file below a folder, through which no way leads out of it, whatever is changed meanwhile.
func openExternal(dir, location string) (*os.File, error) {
	if location == "." || strings.ContainsRune(location, 0) || !fs.ValidPath(filepath.ToSlash(location)) || !filepath.IsLocal(location) {
		return nil, fmt.Errorf("%w: %q is absolute, empty, no plain path, or leads out of it", ErrExternalPath, location)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	defer root.Close()
	var seen fs.FileInfo // of the file itself, which comes last
	steps := strings.Split(filepath.ToSlash(location), "/")
	for i := range steps {
		at := filepath.Join(steps[:i+1]...)
		if seen, err = root.Lstat(at); err != nil {
			return nil, fmt.Errorf("external data %q: %w", location, cause(err))
		}
		if seen.Mode()&fs.ModeSymlink != 0 {
			return nil, fmt.Errorf("%w: %s is a link", ErrExternalPath, at)
		}
	}
	if !seen.Mode().IsRegular() {
		return nil, fmt.Errorf("external data: %q is no regular file", location)
	}
	f, err := root.Open(location)
	if err != nil {
		return nil, fmt.Errorf("external data %q: %w", location, cause(err))
	}
	if info, err := f.Stat(); err != nil || !os.SameFile(info, seen) {
		return nil, errors.Join(fmt.Errorf("external data: %q was changed while it was opened", location), f.Close())
	}
	return f, nil
}

// cause drops the path, which is a part of the one that is named, from an error.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
