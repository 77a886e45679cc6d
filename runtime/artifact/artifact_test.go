package artifact_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
)

func TestWriteAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "artifact")
	a := example(t)
	if err := a.Write(dir); err != nil {
		t.Fatal(err)
	}
	b, err := artifact.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.Stages[0].Params["w"].Tensor != "scale.weight" || b.Graphs["scale"].String() != a.Graphs["scale"].String() {
		t.Errorf("wrote\n%+v\n%s\nand loaded\n%+v\n%s", a.Manifest, a.Graphs["scale"], b.Manifest, b.Graphs["scale"])
	}
	again := filepath.Join(t.TempDir(), "again")
	if err := b.Write(again); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"manifest.json", "scale.onnx"} {
		x, err1 := os.ReadFile(filepath.Join(dir, file))
		y, err2 := os.ReadFile(filepath.Join(again, file))
		if err1 != nil || err2 != nil || string(x) != string(y) {
			t.Errorf("%s is not the same bytes when written again (%v, %v)", file, err1, err2)
		}
	}
}

func TestLoadRefusesAChangedArtifact(t *testing.T) {
	replace := func(old, new string) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, "manifest.json")
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o644)
		}
	}
	for want, change := range map[string]func(dir string) error{
		"make one with dpo-ort export":          func(dir string) error { return os.Remove(filepath.Join(dir, "manifest.json")) },
		"scale.onnx":                            func(dir string) error { return os.Remove(filepath.Join(dir, "scale.onnx")) },
		"SHA-256 differs":                       func(dir string) error { return os.WriteFile(filepath.Join(dir, "scale.onnx"), []byte("x"), 0o644) },
		"format 9, this program reads 2":        replace(`"format": 2`, `"format": 9`),
		"manifest.json: line 21: it is no JSON": replace(`}`, ``),
		`names the file "../scale.onnx"`:        replace(`"scale.onnx":`, `"../scale.onnx":`),
		"graph block is missing":                replace(`"graph": "scale"`, `"graph": "block"`),
		"graph scale has no input w2":           replace(`"w": {`, `"w2": {`),
	} {
		dir := t.TempDir()
		if err := example(t).Write(dir); err != nil {
			t.Fatal(err)
		}
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := artifact.Load(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
