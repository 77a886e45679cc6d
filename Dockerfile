# The program alone, with ONNX Runtime beside it:  docker build -t dpo-ort . && docker run -v $PWD:/data dpo-ort --help
FROM rust:1.95-bookworm AS build
COPY --from=golang:1.26-bookworm /usr/local/go /usr/local/go
ENV PATH=/usr/local/go/bin:$PATH
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN make build && mkdir /opt/dpo-ort && cp bin/dpo-ort build/lib/libonnxruntime.* LICENSE NOTICE /opt/dpo-ort/

FROM debian:bookworm-slim
COPY --from=build /opt/dpo-ort /opt/dpo-ort
RUN ln -s /opt/dpo-ort/dpo-ort /usr/local/bin/dpo-ort
WORKDIR /data
ENTRYPOINT ["dpo-ort"]
