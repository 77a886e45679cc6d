package models

import (
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
		d.Rope.Rotation(d.Rope.Frequencies(100), 99, nil, nil)
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
