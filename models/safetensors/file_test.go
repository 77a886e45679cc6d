package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// image is a file with this header and that many bytes of data.
func image(header string, data int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), make([]byte, data)...)
}

// every error of the format has a file that is wrong in that way alone.
var hostile = []struct {
	name string
	file []byte
	want error
}{
	{"empty", nil, ErrTruncated},
	{"seven bytes", make([]byte, 7), ErrTruncated},
	{"no header", make([]byte, 8), ErrHeader},
	{"header past the end", image(`{}`, 0)[:9], ErrTruncated},
	{"header longer than memory", append(binary.LittleEndian.AppendUint64(nil, 1<<63), '{'), ErrHeaderTooLong},
	{"header over 100 MB", append(binary.LittleEndian.AppendUint64(nil, maxHeader+1), '{'), ErrHeaderTooLong},
	{"no brace", image(` {}`, 0), ErrHeader},
	{"bad JSON", image(`{"a":`, 0), ErrHeader},
	{"an array", image(`[]`, 0), ErrHeader},
	{"something after the header", image(`{}{}`, 0), ErrHeader},
	{"not UTF-8", image("{\"\xff\":{}}", 0), ErrHeader},
	{"deep nesting", image(`{"a":`+strings.Repeat("[", 1<<16), 0), ErrHeader},
	{"tensor is no object", image(`{"a":1}`, 0), ErrHeader},
	{"no dtype", image(`{"a":{"shape":[],"data_offsets":[0,4]}}`, 4), ErrHeader},
	{"no shape", image(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4), ErrHeader},
	{"no offsets", image(`{"a":{"dtype":"F32","shape":[]}}`, 4), ErrHeader},
	{"three offsets", image(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4,8]}}`, 4), ErrHeader},
	{"unknown field", image(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}}`, 4), ErrHeader},
	{"field twice", image(`{"a":{"dtype":"F32","shape":[],"shape":[],"data_offsets":[0,4]}}`, 4), ErrDuplicate},
	{"tensor twice", image(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), ErrDuplicate},
	{"tensor twice, escaped", image(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), ErrDuplicate},
	{"metadata twice", image(`{"__metadata__":{},"__metadata__":{}}`, 0), ErrDuplicate},
	{"metadata key twice", image(`{"__metadata__":{"a":"","a":""}}`, 0), ErrDuplicate},
	{"metadata is a number", image(`{"__metadata__":{"a":1}}`, 0), ErrHeader},
	{"metadata is null", image(`{"__metadata__":null}`, 0), ErrHeader},
	{"unknown type", image(`{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}`, 4), ErrDType},
	{"type in lower case", image(`{"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}`, 4), ErrDType},
	{"type is a number", image(`{"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}}`, 4), ErrHeader},
	{"negative size", image(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), ErrHeader},
	{"fractional size", image(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, 4), ErrHeader},
	{"exponent", image(`{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}`, 4), ErrHeader},
	{"size in quotes", image(`{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}`, 4), ErrHeader},
	{"size over 64 bits", image(`{"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}}`, 4), ErrOverflow},
	{"elements over 64 bits", image(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), ErrOverflow},
	{"overflow, then nothing", image(`{"a":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}`, 0), ErrOverflow},
	{"offsets backwards", image(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[4,0]}}`, 4), ErrOffsets},
	{"too few bytes", image(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), ErrSize},
	{"too many bytes", image(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,8]}}`, 8), ErrSize},
	{"half a byte", image(`{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}`, 1), ErrSize},
	{"a byte missing", image(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 3), ErrTruncated},
	{"a byte too many", image(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 5), ErrOverlong},
	{"data without tensors", image(`{}`, 1), ErrOverlong},
	{"a hole at the start", image(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), ErrHole},
	{"a hole", image(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3), ErrHole},
	{"overlapping", image(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), ErrOverlap},
	{"the same bytes twice", image(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2), ErrOverlap},
	{"offsets near 2^63", image(`{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}`, 0), ErrOverflow},
	{"far outside", image(`{"a":{"dtype":"U8","shape":[1000000000000],"data_offsets":[0,1000000000000]}}`, 0), ErrTruncated},
}

func TestHostileFiles(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.safetensors")
			if err := os.WriteFile(path, c.file, 0o644); err != nil {
				t.Fatal(err)
			}
			f, err := Open(path)
			if !errors.Is(err, c.want) || f != nil {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%q does not name the file", err)
			}
		})
	}
}

func TestOpenWhatIsNoFile(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the file is missing", err)
	}
}

func TestReadsForeignLayouts(t *testing.T) {
	// Names in another order than offsets, padding, an empty tensor between two others, a scalar, sub-byte elements.
	header := `{"b":{"shape":[2],"data_offsets":[4,12],"dtype":"F32"},"a":{"dtype":"I32","shape":[],"data_offsets":[0,4]},` +
		`"none":{"dtype":"F64","shape":[3,0],"data_offsets":[4,4]},"four":{"dtype":"F4","shape":[2,3],"data_offsets":[12,15]},"__metadata__":{"k":"v"}}   `
	file := image(header, 15)
	for i := range 15 {
		file[len(file)-15+i] = byte(i)
	}
	f, err := parse(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Names(); !slices.Equal(got, []string{"a", "b", "four", "none"}) {
		t.Errorf("names %v", got)
	}
	if !maps.Equal(f.Metadata(), map[string]string{"k": "v"}) {
		t.Errorf("metadata %v", f.Metadata())
	}
	for name, want := range map[string]Tensor{
		"a": {"I32", []int64{}, []byte{0, 1, 2, 3}}, "b": {"F32", []int64{2}, []byte{4, 5, 6, 7, 8, 9, 10, 11}},
		"none": {"F64", []int64{3, 0}, nil}, "four": {"F4", []int64{2, 3}, []byte{12, 13, 14}},
	} {
		got, err := f.Tensor(name)
		if err != nil || got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("tensor %s: %v %v, want %v", name, got, err, want)
		}
	}
	if _, err := f.Tensor("c"); !errors.Is(err, ErrNoTensor) {
		t.Errorf("a tensor that is not there: %v", err)
	}
}

func TestCloseTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, []Entry{{"a", "U8", []int64{1}, []byte{1}}}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	if _, err := f.Tensor("a"); !errors.Is(err, ErrNoTensor) {
		t.Errorf("a tensor of a closed file: %v", err)
	}
}

// FuzzParse checks that whatever the bytes, tensors lie inside the file, fill it, and can be written again.
func FuzzParse(f *testing.F) {
	for _, c := range hostile {
		f.Add(c.file)
	}
	f.Add(image(`{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parse(data)
		if err != nil {
			return
		}
		total, entries := 0, []Entry{}
		for _, name := range file.Names() {
			x, err := file.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			total += len(x.Data)
			entries = append(entries, Entry{name, x.DType, x.Shape, x.Data})
		}
		if header := int(binary.LittleEndian.Uint64(data)); total != len(data)-8-header {
			t.Fatalf("tensors hold %d bytes of %d", total, len(data)-8-header)
		}
		if _, err := marshalHeader(entries, file.Metadata()); err != nil {
			t.Fatal(err)
		}
	})
}
