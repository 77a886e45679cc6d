package safetensors

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteLaysOutAsTheReference(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	tensors := []Entry{
		{"b", "F16", []int64{2}, []byte{1, 2, 3, 4}}, {"<z>", "F32", []int64{1, 1}, []byte{5, 6, 7, 8}}, {"é", "BF16", []int64{}, []byte{9, 10}},
		{"a", "F16", nil, []byte{11, 12}}, {"i", "I64", []int64{0, 5}, nil}, {"m", "BOOL", []int64{1}, []byte{1}},
	}
	if err := Write(path, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"format":"pt"},"i":{"dtype":"I64","shape":[0,5],"data_offsets":[0,0]},` +
		`"<z>":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},"é":{"dtype":"BF16","shape":[],"data_offsets":[4,6]},` +
		`"a":{"dtype":"F16","shape":[],"data_offsets":[6,8]},"b":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},` +
		`"m":{"dtype":"BOOL","shape":[1],"data_offsets":[12,13]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := append(image(header, 0), 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 1)
	if !bytes.Equal(got, want) {
		t.Errorf("wrote\n%q, want\n%q", got, want)
	}
	if tensors[0].Name != "b" {
		t.Error("the caller's slice was sorted")
	}
}

func TestWriteReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	shard(t, path, "a")
	old, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	shard(t, path, "b", "c")
	if x, err := old.Tensor("a"); err != nil || x.Data[0] != 'a' {
		t.Errorf("the old file, still mapped: %v %v", x, err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := f.Names(); len(got) != 2 || f.Metadata() != nil {
		t.Errorf("names %v, metadata %v", got, f.Metadata())
	}
	onlyFile(t, dir, "x.safetensors")
}

func onlyFile(t *testing.T, dir, name string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil || len(found) != 1 || found[0].Name() != name {
		t.Errorf("the folder holds %v, %v", found, err)
	}
}

func TestWriteRefuses(t *testing.T) {
	one := []byte{0}
	for name, c := range map[string]struct {
		tensors  []Entry
		metadata map[string]string
		want     error
	}{
		"twice":             {[]Entry{{"a", "U8", []int64{1}, one}, {"a", "I8", []int64{1}, one}}, nil, ErrDuplicate},
		"unknown type":      {[]Entry{{"a", "", []int64{1}, one}}, nil, ErrDType},
		"too few bytes":     {[]Entry{{"a", "U8", []int64{2}, one}}, nil, ErrSize},
		"negative size":     {[]Entry{{"a", "U8", []int64{-1, -1}, one}}, nil, ErrHeader},
		"overflow":          {[]Entry{{"a", "U8", []int64{1 << 32, 1 << 32}, nil}}, nil, ErrOverflow},
		"metadata's name":   {[]Entry{{"__metadata__", "U8", []int64{1}, one}}, nil, ErrName},
		"name not UTF-8":    {[]Entry{{"\xff", "U8", []int64{1}, one}}, nil, ErrName},
		"metadata no UTF-8": {nil, map[string]string{"a": "\xff"}, ErrName},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "x.safetensors")
		shard(t, path, "old")
		if err := Write(path, c.tensors, c.metadata); !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		onlyFile(t, dir, "x.safetensors")
		if f, err := Open(path); err != nil || f.Names()[0] != "old" || f.Close() != nil {
			t.Errorf("%s: the old file: %v", name, err)
		}
	}
}

func TestWriteNowhere(t *testing.T) {
	if err := Write(filepath.Join(t.TempDir(), "none", "x"), nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("into a folder that is not there: %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "x"), nil, nil); err == nil {
		t.Error("a folder was replaced")
	}
	onlyFile(t, dir, "x")
}

func TestWriteNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, nil, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil || len(f.Names()) != 0 || f.Close() != nil {
		t.Errorf("a file without tensors: %v", err)
	}
}
