package dpo

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// FuzzReply checks that what a program prints is a finite score of a contest's winner, or refused.
func FuzzReply(f *testing.F) {
	for _, line := range []string{"1", `{"id":1,"score":0.5}`, `{"error":"no"}`, `{"winner":"a"}`, `{"score":1e999}`, "["} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if x, err := readReply(line, int64(1), readScore); err == nil && (math.IsNaN(x) || math.IsInf(x, 0)) {
			t.Fatalf("a score of %v", x)
		}
		_, _ = readReply(line, int64(1), readWinner)
	})
}

// FuzzPatterns reads a file of patterns in both of its forms.
func FuzzPatterns(f *testing.F) {
	f.Add([]byte("good\t1\nbad\t-1\n"))
	f.Add([]byte("- pattern: a+\n  weight: 2\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, name := range []string{"p.tsv", "p.yaml"} {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			patterns, err := readPatterns(path)
			for _, p := range patterns {
				if err == nil && (p.match == nil || math.IsNaN(p.Weight) || math.IsInf(p.Weight, 0)) {
					t.Fatalf("pattern %q weighs %v", p.Pattern, p.Weight)
				}
			}
		}
	})
}

// FuzzRowCache decodes an entry of the cache: it gives rows that can be trained on, or is damaged.
func FuzzRowCache(f *testing.F) {
	e := entry{sum: sha256.Sum256(nil), files: []string{"a.jsonl"}, vocabulary: 10}
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	rows := &Rows{Examples: []datasets.Example{{File: "a.jsonl", Row: 3, Prompt: []int32{1, 2}, Completions: []datasets.Completion{{IDs: []int32{3}}, {IDs: []int32{4, 5, 6, 7}, Start: 1, Gaps: [][2]int{{2, 3}}}}, Ref: []float64{-1, -2}}}}
	if err := e.encode(w, rows); err != nil {
		f.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := e.decode(bufio.NewReader(bytes.NewReader(data)), int64(len(data)))
		if err != nil {
			return
		}
		for _, x := range rows.Examples {
			if !sound(x, e.vocabulary) {
				t.Fatalf("an example that no encoder lets pass: %+v", x)
			}
		}
	})
}

// FuzzState reads what is sealed as it should be, and may hold anything.
func FuzzState(f *testing.F) {
	for _, text := range []string{"", "{}", "[]", `{"format":2,"step":2,"evaluated":-1,"plan":{"micro_tokens":1},"files":{"optimizer.safetensors":{},"weights.safetensors":{}}}`,
		`{"format":2,"step":2,"best":{"step":2,"loss":1e999,"since":0}}`} {
		f.Add([]byte(text))
	}
	dir := filepath.Join(f.TempDir(), checkpointName(2))
	if err := os.Mkdir(dir, 0o755); err != nil {
		f.Fatal(err)
	}
	for _, name := range checkpointFiles {
		if err := safetensors.Write(filepath.Join(dir, name), nil, nil); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, stateFile), sealed(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyCheckpoint(dir); err == nil {
			t.Errorf("accepted without digests of the header: %s", text)
		}
	})
}
