package onnx

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/dpo-ort/dpo-ort/runtime/onnx/internal/onnxpb"
)

// irVersion is that of the files written: the one that came with Opset 21.
const irVersion = 10

// Marshal writes the graph as an ONNX model. The same graph gives the same bytes.
func (g *Graph) Marshal() ([]byte, error) {
	graph, err := encodeGraph(g)
	if err != nil {
		return nil, fmt.Errorf("write graph %s: %w", g.Name, err)
	}
	model := &onnxpb.ModelProto{IrVersion: proto.Int64(irVersion), ProducerName: proto.String("dpo-ort"), Graph: graph, MetadataProps: encodeMeta(g.Meta)}
	for _, domain := range slices.Sorted(maps.Keys(g.Opsets)) {
		model.OpsetImport = append(model.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String(domain), Version: proto.Int64(g.Opsets[domain])})
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(model)
	if err != nil {
		return nil, fmt.Errorf("write graph %s: %w", g.Name, err)
	}
	return data, nil
}

func encodeGraph(g *Graph) (*onnxpb.GraphProto, error) {
	out := &onnxpb.GraphProto{Name: proto.String(g.Name)}
	for _, v := range g.Inputs {
		out.Input = append(out.Input, encodeValue(v))
	}
	for _, v := range g.Outputs {
		out.Output = append(out.Output, encodeValue(v))
	}
	for _, v := range g.Constants() {
		t := encodeTensor(v.Const)
		t.Name = proto.String(v.Name)
		out.Initializer = append(out.Initializer, t)
	}
	for _, n := range g.Nodes {
		node, err := encodeNode(n)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Name, err)
		}
		out.Node = append(out.Node, node)
		// With the shapes of inner values a reader need not know what the builder knew of an input's elements.
		for _, v := range n.Outputs {
			if v != nil && v.Name != "" && v.Shape != nil && !slices.Contains(g.Outputs, v) && !slices.ContainsFunc(v.Shape, Dim.Unknown) {
				out.ValueInfo = append(out.ValueInfo, encodeValue(v))
			}
		}
	}
	return out, nil
}

func encodeNode(n *Node) (*onnxpb.NodeProto, error) {
	out := &onnxpb.NodeProto{Name: proto.String(n.Name), OpType: proto.String(n.Op), Domain: proto.String(n.Domain),
		Input: names(n.Inputs), Output: names(n.Outputs), MetadataProps: encodeMeta(n.Meta)}
	for _, name := range slices.Sorted(maps.Keys(n.Attrs)) {
		a, err := encodeAttr(name, n.Attrs[name])
		if err != nil {
			return nil, err
		}
		out.Attribute = append(out.Attribute, a)
	}
	return out, nil
}

func names(values []*Value) []string {
	out := make([]string, len(values))
	for i, v := range values {
		if v != nil {
			out[i] = v.Name
		}
	}
	return out
}

func encodeMeta(meta map[string]string) []*onnxpb.StringStringEntryProto {
	var out []*onnxpb.StringStringEntryProto
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		out = append(out, &onnxpb.StringStringEntryProto{Key: proto.String(k), Value: proto.String(meta[k])})
	}
	return out
}

func encodeAttr(name string, value any) (*onnxpb.AttributeProto, error) {
	a := &onnxpb.AttributeProto{Name: proto.String(name)}
	kind := func(t onnxpb.AttributeProto_AttributeType) { a.Type = t.Enum() }
	switch v := value.(type) {
	case int64:
		kind(onnxpb.AttributeProto_INT)
		a.I = proto.Int64(v)
	case float32:
		kind(onnxpb.AttributeProto_FLOAT)
		a.F = proto.Float32(v)
	case string:
		kind(onnxpb.AttributeProto_STRING)
		a.S = []byte(v)
	case []int64:
		kind(onnxpb.AttributeProto_INTS)
		a.Ints = v
	case []float32:
		kind(onnxpb.AttributeProto_FLOATS)
		a.Floats = v
	case []string:
		kind(onnxpb.AttributeProto_STRINGS)
		for _, s := range v {
			a.Strings = append(a.Strings, []byte(s))
		}
	case *Tensor:
		kind(onnxpb.AttributeProto_TENSOR)
		a.T = encodeTensor(v)
	case *Graph:
		kind(onnxpb.AttributeProto_GRAPH)
		g, err := encodeGraph(v)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
		a.G = g
	default:
		return nil, fmt.Errorf("attribute %s: a %T cannot be written", name, value)
	}
	return a, nil
}

func encodeTensor(t *Tensor) *onnxpb.TensorProto {
	out := &onnxpb.TensorProto{Dims: t.Dims, DataType: proto.Int32(int32(t.Type))}
	if t.Type == String {
		for _, s := range t.Strings {
			out.StringData = append(out.StringData, []byte(s))
		}
		return out
	}
	if x := t.External; x != nil {
		out.DataLocation = onnxpb.TensorProto_EXTERNAL.Enum()
		out.ExternalData = []*onnxpb.StringStringEntryProto{{Key: proto.String("location"), Value: proto.String(x.Location)},
			{Key: proto.String("offset"), Value: proto.String(strconv.FormatInt(x.Offset, 10))},
			{Key: proto.String("length"), Value: proto.String(strconv.FormatInt(x.Length, 10))}}
		return out
	}
	out.RawData = t.Data
	return out
}

func encodeValue(v *Value) *onnxpb.ValueInfoProto {
	tensor := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(v.Type))}
	if v.Shape != nil {
		tensor.Shape = &onnxpb.TensorShapeProto{}
		for _, d := range v.Shape {
			tensor.Shape.Dim = append(tensor.Shape.Dim, encodeDim(d))
		}
	}
	return &onnxpb.ValueInfoProto{Name: proto.String(v.Name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: tensor}}}
}

// encodeDim writes a size, or its formula as a parameter's name; one that only the run will tell has neither.
func encodeDim(d Dim) *onnxpb.TensorShapeProto_Dimension {
	text := d.String()
	if n, ok := d.Const(); ok {
		return &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: n}}
	}
	if d.Unknown() {
		return &onnxpb.TensorShapeProto_Dimension{}
	}
	return &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: text}}
}
