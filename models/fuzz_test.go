package models

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzConfig checks that a config.json describes a model with sizes that can be computed with, or is refused.
func FuzzConfig(f *testing.F) {
	files, err := filepath.Glob("../testdata/models/*/config.json")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig("config.json", text)
		if err != nil {
			return
		}
		_, d, err := c.describe()
		if err != nil || d.Layers > 64 {
			return
		}
		for name, shape := range (&Model{Decoder: d}).Shapes() {
			n := int64(1)
			for _, size := range shape {
				if size <= 0 || size > 1<<40/n {
					t.Fatalf("tensor %s has the shape %v", name, shape)
				}
				n *= size
			}
		}
		for _, r := range d.Rotations() {
			r.Rope.Rotation(r.Rope.Frequencies(100), 99, nil, nil)
		}
	})
}

// FuzzAdapter opens whatever calls itself an adapter: it is one of its base, or is refused.
func FuzzAdapter(f *testing.F) {
	base, err := filepath.Abs("../testdata/models/tiny-llama")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"tiny-llama-sft", "tiny-llama-lora"} {
		var texts [2][]byte
		for i, file := range []string{adapterConfigName, adapterWeightsName} {
			if texts[i], err = os.ReadFile(filepath.Join("../testdata/adapters", name, file)); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(bytes.Replace(texts[0], []byte("../../models/tiny-llama"), []byte(base), 1), texts[1])
	}
	f.Fuzz(func(t *testing.T, config, weights []byte) {
		dir := t.TempDir()
		for name, text := range map[string][]byte{adapterConfigName: config, adapterWeightsName: weights} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m, err := Open(dir)
		if err != nil {
			return
		}
		defer m.Close()
		if m.Base != base || len(m.Trained()) < 2 {
			t.Fatalf("it is an adapter of %s with the tensors %v", m.Base, m.Trained())
		}
	})
}

// FuzzGeneration reads what config.json and generation_config.json say of generation.
func FuzzGeneration(f *testing.F) {
	f.Add(`{"max_position_embeddings":64,"eos_token_id":[1,2]}`, `{"eos_token_id":null}`)
	f.Fuzz(func(t *testing.T, config, generation string) {
		dir := t.TempDir()
		for name, text := range map[string]string{"config.json": config, "generation_config.json": generation} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if g, err := ReadGeneration(dir); err == nil && g.Context < 0 {
			t.Fatalf("context %d", g.Context)
		}
	})
}
