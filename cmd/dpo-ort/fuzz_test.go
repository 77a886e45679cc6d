package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo"
)

// FuzzSettings checks that a file of settings is read or refused by name.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{"model: m\ndata: [a, b]\nbeta: 0.1\n", "plan: {rungs: [stash]}\n", "a: &a [*a]\n", "- 1\n", "lr: 1e999\n", "? [a]\n: b\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "run.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := dpo.NewConfig("paper")
		if err != nil {
			t.Fatal(err)
		}
		if err := readSettings(path, &c); err == nil {
			_ = c.Check()
		}
	})
}

// FuzzFrontierPlan checks that a plan is read or refused by name.
func FuzzFrontierPlan(f *testing.F) {
	for _, text := range []string{"reference: r\nprompts: [p]\nreward: length\nbetas: [0.1]\ndpo: {data: [d], steps: 1}\npreferred-ft: null\n", "dpo: &d {steps: 1}\npreferred-ft: *d\n", "best-of: [1, 2]\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "plan.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := readPlan(path); err == nil {
			_ = p.Check()
		}
	})
}

// FuzzSample reads a row of samples.
func FuzzSample(f *testing.F) {
	f.Add([]byte(`{"prompt":"p","completions":["a"],"scores":[1],"finish_reasons":["stop"]}`))
	f.Add([]byte(`{"prompt":[{"role":"user","content":"a"}],"completion":"c"}`))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _, _ = readSample(text) })
}
