package onnx_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

var update = flag.Bool("update", false, "rewrite testdata/backend_cases.txt")

// TestBackendSuite reads every node test of ONNX's own suite and holds inferred types and shapes against those that the
// model declares and the outputs that come with it. testdata/backend_cases.txt lists each case: run, or skipped and
// why. The number that runs may not fall.
func TestBackendSuite(t *testing.T) {
	dir := golden.BackendSuite(t)
	cases, err := filepath.Glob(filepath.Join(dir, "*", "model.onnx"))
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases in %s (%v)", dir, err)
	}
	var list bytes.Buffer
	ran := 0
	for _, model := range cases {
		name := filepath.Base(filepath.Dir(model))
		skipped, err := backendCase(model)
		switch {
		case err != nil && skipped == "":
			t.Errorf("%s: %v", name, err)
		case skipped != "":
			fmt.Fprintf(&list, "%s skipped: %s\n", name, skipped)
		default:
			ran++
			fmt.Fprintf(&list, "%s run\n", name)
		}
	}
	t.Logf("%d of %d cases run", ran, len(cases))
	golden.Cases(t, "testdata/backend_cases.txt", list.String(), *update)
}

// backendCase checks one case; skipped says why it cannot be.
func backendCase(model string) (skipped string, err error) {
	data, err := os.ReadFile(model)
	if err != nil {
		return "", err
	}
	declared, err := onnx.Declared(data)
	if err != nil {
		return "", err
	}
	g, err := onnx.Unmarshal(data)
	if err != nil {
		return onnx.Unsupported(err), err
	}
	for _, n := range g.Nodes {
		if !onnx.HasRule(n.Domain, n.Op) && n.Op != "Constant" {
			return "no shape rule for " + strings.TrimPrefix(n.Domain+":"+n.Op, ":"), nil
		}
	}
	for i, out := range g.Outputs {
		if declared[i].Type == onnx.Undefined {
			return "output is no tensor", nil
		}
		if out.Shape == nil {
			return "its shape depends on the data", nil
		}
		if err := agrees(out, declared[i]); err != nil {
			return "", err
		}
		err := matchesOutput(out, filepath.Join(filepath.Dir(model), "test_data_set_0", fmt.Sprintf("output_%d.pb", i)))
		if err != nil {
			return onnx.Unsupported(err), err
		}
	}
	return "", nil
}

// agrees holds an inferred output against the declared one.
func agrees(got, want *onnx.Value) error {
	if got.Type != want.Type || len(got.Shape) != len(want.Shape) {
		return fmt.Errorf("output %s is inferred as %s%s, declared as %s%s", got.Name, got.Type, got.Shape, want.Type, want.Shape)
	}
	return fits(got, func(i int) (int64, bool) { return want.Shape[i].Const() })
}

// matchesOutput holds it against the output that the suite computed.
func matchesOutput(got *onnx.Value, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	out, err := onnx.UnmarshalTensor(data)
	if err != nil {
		return err
	}
	if got.Type != out.Type || len(got.Shape) != len(out.Dims) {
		return fmt.Errorf("output %s is inferred as %s%s, and is %s%v", got.Name, got.Type, got.Shape, out.Type, out.Dims)
	}
	return fits(got, func(i int) (int64, bool) { return out.Dims[i], true })
}

func fits(got *onnx.Value, size func(i int) (int64, bool)) error {
	for i, d := range got.Shape {
		n, known := size(i)
		if have, fixed := d.Const(); fixed && known && have != n {
			return fmt.Errorf("dimension %d of output %s is inferred as %d, and is %d", i, got.Name, have, n)
		}
	}
	return nil
}

func TestBackendSuiteComesBack(t *testing.T) {
	cases, err := filepath.Glob(filepath.Join(golden.BackendSuite(t), "*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(cases)
	for _, model := range cases {
		data, err := os.ReadFile(model)
		if err != nil {
			t.Fatal(err)
		}
		g, err := onnx.Unmarshal(data)
		if err != nil {
			continue // TestBackendSuite says why
		}
		written, err := g.Marshal()
		if err != nil {
			t.Errorf("%s: %v", model, err)
			continue
		}
		again, err := onnx.Unmarshal(written)
		if err != nil || again.String() != g.String() {
			t.Errorf("%s: written and read it is not the same (%v):\n%s\n%s", model, err, g, again)
		}
	}
}
