#!/bin/sh
# Makes onnx.pb.go out of the schema that ONNX itself publishes in its Python package.
# Needs python3 with pip, and Go.
set -eu
cd "${0%/*}"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet grpcio-tools==1.81.0 onnx==1.23.2
GOBIN=$tools go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
schema=$("$tools/venv/bin/python" -c 'import onnx, pathlib; print(pathlib.Path(onnx.__file__).parent)')
PATH=$tools:$PATH "$tools/venv/bin/python" -m grpc_tools.protoc --proto_path="$schema" --go_out=. \
    --go_opt=paths=source_relative --go_opt=Monnx.proto=github.com/dpo-ort/dpo-ort/runtime/onnx/internal/onnxpb onnx.proto
