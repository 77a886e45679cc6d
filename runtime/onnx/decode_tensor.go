package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/dpo-ort/dpo-ort/runtime/onnx/internal/onnxpb"
)

// UnmarshalTensor reads a tensor that stands alone in a file, as ONNX's test data does.
func UnmarshalTensor(data []byte) (*Tensor, error) {
	p := &onnxpb.TensorProto{}
	if err := proto.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("read ONNX tensor: %w", notONNX(err))
	}
	t, err := decodeTensor(p, nil)
	if err != nil {
		return nil, fmt.Errorf("read ONNX tensor: %w", err)
	}
	return t, nil
}

// decodeTensor reads a tensor from wherever ONNX lets its elements lie: raw bytes, a list of its own type, a list of a
// wider one, or another file.
func decodeTensor(p *onnxpb.TensorProto, files external) (*Tensor, error) {
	t := &Tensor{Type: DType(p.GetDataType()), Dims: append([]int64{}, p.Dims...)}
	count, err := countElems(t.Dims)
	if err != nil {
		return nil, err
	}
	if p.Segment != nil {
		return nil, errors.New("it is one segment of several, which is not supported")
	}
	if t.Type == String {
		for _, s := range p.StringData {
			t.Strings = append(t.Strings, string(s))
		}
		if int64(len(t.Strings)) != count {
			return nil, fmt.Errorf("shape %v and %d strings", t.Dims, len(t.Strings))
		}
		return t, nil
	}
	if t.Type.Size() == 0 {
		return nil, fmt.Errorf("element type %s is not supported", t.Type)
	}
	if ways := waysOf(p); ways > 1 {
		return nil, fmt.Errorf("its elements are held in %d ways, of which one is needed", ways)
	}
	switch {
	case p.GetDataLocation() == onnxpb.TensorProto_EXTERNAL:
		if files == nil {
			return nil, errors.New("its data lies in another file")
		}
		if t.Data, err = files(p); err != nil {
			return nil, err
		}
	case p.RawData != nil:
		t.Data = p.RawData
	default:
		t.Data = typedData(t.Type, p)
	}
	if int64(len(t.Data)) != count*int64(t.Type.Size()) {
		return nil, fmt.Errorf("%s%v takes %d bytes, there are %d", t.Type, t.Dims, count*int64(t.Type.Size()), len(t.Data))
	}
	return t, nil
}

// waysOf counts the fields of a tensor that hold elements.
func waysOf(p *onnxpb.TensorProto) (ways int) {
	for _, there := range []bool{p.GetDataLocation() == onnxpb.TensorProto_EXTERNAL, len(p.RawData) > 0, len(p.FloatData) > 0, len(p.Int32Data) > 0,
		len(p.StringData) > 0, len(p.Int64Data) > 0, len(p.DoubleData) > 0, len(p.Uint64Data) > 0} {
		if there {
			ways++
		}
	}
	return ways
}

func countElems(dims []int64) (int64, error) {
	if len(dims) > maxRank {
		return 0, fmt.Errorf("rank %d is above %d", len(dims), maxRank)
	}
	n := int64(1)
	for _, d := range dims {
		if d < 0 || d > 0 && n > maxElems/d {
			return 0, fmt.Errorf("shape %v is negative or too large", dims)
		}
		n *= d
	}
	return n, nil
}

// typedData packs the lists that ONNX keeps each type in.
func typedData(t DType, p *onnxpb.TensorProto) []byte {
	var out []byte
	le := binary.LittleEndian
	switch t {
	case Float32, Complex64:
		for _, x := range p.FloatData {
			out = le.AppendUint32(out, math.Float32bits(x))
		}
	case Float64, Complex128:
		for _, x := range p.DoubleData {
			out = le.AppendUint64(out, math.Float64bits(x))
		}
	case Int64:
		for _, x := range p.Int64Data {
			out = le.AppendUint64(out, uint64(x))
		}
	case Uint32:
		for _, x := range p.Uint64Data {
			out = le.AppendUint32(out, uint32(x))
		}
	case Uint64:
		for _, x := range p.Uint64Data {
			out = le.AppendUint64(out, x)
		}
	default: // all narrower types share one list of int32
		for _, x := range p.Int32Data {
			switch t.Size() {
			case 4:
				out = le.AppendUint32(out, uint32(x))
			case 2:
				out = le.AppendUint16(out, uint16(x))
			default:
				out = append(out, byte(x))
			}
		}
	}
	return out
}
