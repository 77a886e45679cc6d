package onnx_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/onnx/internal/onnxpb"
)

// sample is a small model with a constant, a symbol and an attribute.
func sample(t testing.TB) []byte {
	t.Helper()
	g, err := onnx.Build("sample", func(b *onnx.Builder) {
		x := b.Input("x", onnx.Float32, onnx.Sym("T"), onnx.Const(4))
		y := b.Op("Softmax", []*onnx.Value{b.Op("Mul", []*onnx.Value{x, b.Scalar(onnx.Float32, 0.5)}, nil)}, onnx.Attrs{"axis": -1})
		b.Output("y", y)
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// edit changes a model's protobuf.
func edit(t testing.TB, f func(m *onnxpb.ModelProto)) []byte {
	t.Helper()
	m := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(sample(t), m); err != nil {
		t.Fatal(err)
	}
	f(m)
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestUnmarshalRefusesByName(t *testing.T) {
	for want, data := range map[string][]byte{
		"not a protobuf of ONNX":     []byte("garbage"),
		"it has no graph":            edit(t, func(m *onnxpb.ModelProto) { m.Graph = nil }),
		"model-local function f":     edit(t, func(m *onnxpb.ModelProto) { m.Functions = []*onnxpb.FunctionProto{{Name: proto.String("f")}} }),
		`input "nowhere" is not`:     edit(t, func(m *onnxpb.ModelProto) { m.Graph.Node[0].Input[0] = "nowhere" }),
		"the name is defined twice":  edit(t, func(m *onnxpb.ModelProto) { m.Graph.Input = append(m.Graph.Input, m.Graph.Input[0]) }),
		`output "z" is not`:          edit(t, func(m *onnxpb.ModelProto) { m.Graph.Output[0].Name = proto.String("z") }),
		"sparse initializers":        edit(t, func(m *onnxpb.ModelProto) { m.Graph.SparseInitializer = []*onnxpb.SparseTensorProto{{}} }),
		"takes 4 bytes, there are 3": edit(t, func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].RawData = []byte{1, 2, 3} }),
		"negative or too large":      edit(t, func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Dims = []int64{1 << 40, 1 << 40} }),
		"its data lies in another file": edit(t, func(m *onnxpb.ModelProto) {
			m.Graph.Initializer[0].RawData, m.Graph.Initializer[0].DataLocation = nil, onnxpb.TensorProto_EXTERNAL.Enum()
		}),
		"input 1 is missing": edit(t, func(m *onnxpb.ModelProto) { m.Graph.Node[0].Input = m.Graph.Node[0].Input[:1] }),
		"it has no output":   edit(t, func(m *onnxpb.ModelProto) { m.Graph.Node[0].Output = nil }),
		"do not broadcast": edit(t, func(m *onnxpb.ModelProto) {
			m.Graph.Initializer[0].Dims, m.Graph.Initializer[0].RawData = []int64{3}, make([]byte, 12)
		}),
		"types float32 and i": edit(t, func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].DataType = proto.Int32(6) }),
	} {
		if _, err := onnx.Unmarshal(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// A model cut anywhere, or with any one byte changed, is read or refused, and never panics.
func TestUnmarshalSurvivesDamage(t *testing.T) {
	data := sample(t)
	for i := range data {
		_, _ = onnx.Unmarshal(data[:i])
		for _, b := range []byte{0, 0xff, data[i] ^ 1, data[i] ^ 0x80} {
			damaged := append([]byte{}, data...)
			damaged[i] = b
			_, _ = onnx.Unmarshal(damaged)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := onnx.Unmarshal(data)
		if err == nil {
			_ = g.String()
			_, _ = g.Marshal()
		}
	})
}

// FuzzUnmarshalTensor holds that the elements of a tensor are as many as its shape says.
func FuzzUnmarshalTensor(f *testing.F) {
	for _, t := range []*onnxpb.TensorProto{
		{Dims: []int64{2}, DataType: proto.Int32(1), RawData: make([]byte, 8)}, {Dims: []int64{1, 2}, DataType: proto.Int32(7), Int64Data: []int64{1, 2}},
		{DataType: proto.Int32(8), StringData: [][]byte{{'a'}}}, {Dims: []int64{2}, DataType: proto.Int32(1), RawData: make([]byte, 7)}, {Dims: []int64{1 << 32, 1 << 32}, DataType: proto.Int32(1)},
	} {
		data, err := proto.Marshal(t)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := onnx.UnmarshalTensor(data)
		if err != nil {
			return
		}
		if n := x.Count(); n < 0 || n*int64(x.Type.Size()) != int64(len(x.Data)) {
			t.Fatalf("%s%v of %d bytes", x.Type, x.Dims, len(x.Data))
		}
		_, _ = x.Ints()
		_, _ = x.Floats()
	})
}

// Data in other files is read from the model's own folder and nowhere else.
func TestLoadReadsExternalDataInItsFolderOnly(t *testing.T) {
	dir := t.TempDir()
	inside, outside := filepath.Join(dir, "model"), filepath.Join(dir, "secret")
	for _, d := range []string{inside, outside} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "data"), binary.LittleEndian.AppendUint32(nil, 0x3f000000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(outside, "data"), filepath.Join(inside, "link")); err != nil {
		t.Skipf("needs symbolic links: %v", err)
	}
	load := func(location string) error {
		model := edit(t, func(m *onnxpb.ModelProto) {
			i := m.Graph.Initializer[0]
			i.RawData, i.DataLocation = nil, onnxpb.TensorProto_EXTERNAL.Enum()
			i.ExternalData = []*onnxpb.StringStringEntryProto{{Key: proto.String("location"), Value: proto.String(location)}}
		})
		path := filepath.Join(inside, "model.onnx")
		if err := os.WriteFile(path, model, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := onnx.Load(path)
		return err
	}
	if err := load("data"); err != nil {
		t.Error(err)
	}
	if err := os.Symlink(outside, filepath.Join(inside, "folder")); err != nil {
		t.Fatal(err)
	}
	for _, location := range []string{"../secret/data", filepath.Join(outside, "data"), "link", "", ".", "a/../../secret/data", "folder/data", "da\x00ta"} {
		if err := load(location); !errors.Is(err, onnx.ErrExternalPath) {
			t.Errorf("location %q: error %v", location, err)
		}
	}
}

func TestStringIsReadable(t *testing.T) {
	g, err := onnx.Unmarshal(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	want := "sample(x float32[T,4]) -> (y float32[T,4])\n" +
		"  mul_1 float32[T,4] = Mul(x, const_1=[0.5])\n" +
		"  y float32[T,4] = Softmax<axis=-1>(mul_1)\n"
	if g.String() != want {
		t.Errorf("printed\n%swant\n%s", g, want)
	}
}
