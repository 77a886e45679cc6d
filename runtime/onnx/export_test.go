package onnx

import (
	"errors"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/dpo-ort/dpo-ort/runtime/onnx/internal/onnxpb"
)

// Declared reads a model's outputs as the file declares them.
func Declared(data []byte) ([]*Value, error) {
	model := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(data, model); err != nil {
		return nil, err
	}
	var out []*Value
	for _, o := range model.Graph.Output {
		v, err := decodeValue(o)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// Unsupported is the reason of an error about what this package does not read; "" for any other.
func Unsupported(err error) string {
	for err != nil {
		next := errors.Unwrap(err)
		if next == nil {
			break
		}
		err = next
	}
	if err != nil && strings.Contains(err.Error(), "not supported") {
		return err.Error()
	}
	return ""
}
