# Every line here can be run by hand.
.PHONY: help demo quickstart deps deps-cuda build test race torture lint audit reproducible golden bench bench-peers fuzz onnx-backend interop interop-onnx dist clean
.DEFAULT_GOAL := help

PYTHON ?= python3

model = testdata/models/tiny-llama
pairs = testdata/pref/tiny.pairs.jsonl
tuned = build/quickstart

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 16

quickstart: build ## install what is needed, build, and align and score a tiny model on a few pairs
	rm -rf $(tuned) $(tuned).parquet
	bin/dpo-ort train --model $(model) --data $(pairs) --out $(tuned) --beta 0.1 --lr 1e-3 --batch 8 --steps 20
	bin/dpo-ort score --model $(tuned) --ref $(model) --data $(pairs) --out $(tuned).parquet

demo: build ## the DPO paper's pipeline on made-up film reviews, with its figure; some minutes
	bin/dpo-ort demo --out build/demo

deps: ## the two native libraries, into build/lib (digests checked; what is there is left alone)
	scripts/deps

deps-cuda: ## what a CUDA device needs, into build/lib/cuda: 1 GiB (CUDA_LIBS=system: without NVIDIA's libraries)
	scripts/deps-cuda

build: deps ## the program, bin/dpo-ort
	go build -trimpath -buildvcs=auto -o bin/dpo-ort ./cmd/dpo-ort

test: deps ## all tests; ends with how many ran, failed and were skipped, and why
	go run ./internal/testreport -timeout 30m ./...

race: deps ## what is concurrent, under the race detector; a minute and a half (scripts/race all: everything)
	scripts/race

torture: deps ## the long tests, hours: kills, faults, fuzzing, leaks, soak (PART='soak race' runs some)
	scripts/torture $(PART)

audit: ## known faults of the Go modules and Rust crates, where their databases can be reached
	scripts/audit

reproducible: deps ## the program built in two folders, and compared (scripts/reproducible --native: the tokenizers too)
	scripts/reproducible

lint: ## gofmt, go vet and golangci-lint, as CI runs them
	scripts/lint

onnx-backend: deps ## the reader, shape inference and gradients over ONNX's own test suite
	DPO_ORT_ONNX_BACKEND=$$(scripts/onnx-backend-data) go run ./internal/testreport -count=1 ./runtime/onnx/... ./runtime/autodiff/...

interop: deps ## what pyarrow, DuckDB, Polars, TensorBoard and ONNX Runtime in Python make of the files that we write
	DPO_ORT_INTEROP_PYTHON=$$(scripts/interop-python) go run ./internal/testreport -count=1 -run 'Interop|TableReadBy|TensorBoard' ./datasets ./dpo ./dpo/tfevents

interop-onnx: deps ## what ONNX Runtime GenAI and Optimum, which it installs, make of models for inference (PyTorch comes with them: gigabytes)
	DPO_ORT_ONNX_PYTHON=$$(scripts/interop-onnx) go run ./internal/testreport -count=1 -run InferenceReadBy ./dpo

golden: ## make the reference numbers in testdata anew (Python with PyTorch, transformers and TRL)
	scripts/golden/make.sh

bench: build ## speed and memory beside the peers', where they are installed; fails where a ratio is worse than the one kept (BENCH='--cases step')
	$(PYTHON) bench/run.py $(BENCH)

bench-peers: ## install PyTorch, transformers and TRL, pinned, for make bench
	scripts/bench-peers

fuzz: ## each fuzz test for half a minute
	scripts/fuzz 30s

dist: deps ## the program with its library, bill of materials, licences, manual pages and completions, as dist/*.tar.gz
	scripts/dist

clean: ## remove what was built here; the cache outside the tree stays
	rm -rf bin build dist
