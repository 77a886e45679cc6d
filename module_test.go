package dporot_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The recipe of docs/library.md: a module elsewhere that imports packages of this one, by a replace directive, builds, without
// a network and with no variable set.
func TestModuleElsewhereBuilds(t *testing.T) {
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/service\n\ngo 1.25.0\n\nrequire github.com/dpo-ort/dpo-ort v0.0.0\n\n" +
			"replace github.com/dpo-ort/dpo-ort => " + root + "\n",
		"go.sum": string(sums),
		"main.go": `package main

import (
	"log"

	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/dpo"
)

func main() {
	tok, err := tokenizer.Load("model")
	if err != nil {
		log.Fatal(err)
	}
	s, err := dpo.NewScorer(dpo.ScoreConfig{Model: "model", Beta: 0.1, Truncate: "prompt", EOS: "add", Device: "cpu"}, tok)
	log.Print(s, err)
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-mod=mod", "-o", filepath.Join(dir, "service"), ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "CGO_LDFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
