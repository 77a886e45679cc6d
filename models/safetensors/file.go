package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

// Tensor is a tensor of an open file.
type Tensor struct {
	DType string // as the format names it: "F32", "F16", "BF16", "F64", "I64", …
	Shape []int64
	Data  []byte // part of the file's mapping: read-only, and gone after Close
}

// File is one open file. It is safe for concurrent use until Close.
type File struct {
	path     string
	mapping  []byte
	header   int // bytes of it before the elements
	names    []string
	tensors  map[string]Tensor
	metadata map[string]string
}

// Open maps a file into memory and checks all of its header.
func Open(path string) (*File, error) {
	f, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return f, nil
}

func open(path string) (*File, error) {
	mapping, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	f, err := parse(mapping)
	if err != nil {
		return nil, errors.Join(err, unmap(mapping))
	}
	f.path = path
	return f, nil
}

// mapFile maps a file; an empty one, which cannot be mapped, is too short to be a safetensors file anyway.
func mapFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer file.Close()
	stat, err := file.Stat()
	switch {
	case err != nil:
		return nil, cause(err)
	case !stat.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case stat.Size() < 8:
		return nil, fmt.Errorf("%w: %d bytes", ErrTruncated, stat.Size())
	case int64(int(stat.Size())) != stat.Size():
		return nil, errors.New("file is larger than this machine can map")
	}
	return mmap(file, int(stat.Size()))
}

// cause drops the path from an error that will be given one.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// parse checks the bytes of a file.
func parse(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("%w: %d bytes", ErrTruncated, len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	rest := data[8:]
	switch {
	case n > maxHeader:
		return nil, fmt.Errorf("%w: %d bytes (is this a safetensors file?)", ErrHeaderTooLong, n)
	case n > uint64(len(rest)):
		return nil, fmt.Errorf("%w: its header of %d bytes ends after the file's %d", ErrTruncated, n, len(data))
	}
	header, rest := rest[:n], rest[n:]
	infos, metadata, err := parseHeader(header, int64(len(rest)))
	if err != nil {
		return nil, err
	}
	f := &File{mapping: data, header: 8 + int(n), tensors: make(map[string]Tensor, len(infos)), metadata: metadata}
	for _, t := range infos {
		f.names = append(f.names, t.name)
		f.tensors[t.name] = Tensor{DType: t.dtype, Shape: t.shape, Data: rest[t.begin:t.end:t.end]}
	}
	slices.Sort(f.names)
	return f, nil
}

// Names lists the tensors, sorted.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Tensor finds a tensor by name.
func (f *File) Tensor(name string) (Tensor, error) {
	t, ok := f.tensors[name]
	if !ok {
		return Tensor{}, fmt.Errorf("%s: tensor %s: %w", f.path, name, ErrNoTensor)
	}
	t.Shape = slices.Clone(t.Shape)
	return t, nil
}

// Header is all of the file before the elements: its length, and the JSON that describes the tensors.
func (f *File) Header() []byte { return f.mapping[:f.header:f.header] }

// Metadata is the file's own map of strings; nil where it has none.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Close unmaps the file. No Data of its tensors may be read afterwards.
func (f *File) Close() error {
	mapping := f.mapping
	f.mapping, f.tensors, f.names = nil, nil, nil
	if mapping == nil {
		return nil
	}
	if err := unmap(mapping); err != nil {
		return fmt.Errorf("close %s: %w", f.path, err)
	}
	return nil
}
