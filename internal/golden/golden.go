// Package golden finds and reads what tests compare against: the module's own fixtures and reference numbers in testdata,
// made by scripts/golden with PyTorch, transformers and TRL, and real data that lies beside the module and is no part of it.
//
// Numbers are float64 wherever they were computed in it: in JSON with all their digits, or as tensors in safetensors files.
package golden

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Root is the module's folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			t.Fatal("find the module's folder: no go.mod here or above")
		}
		dir = above
	}
}

// Testdata is a path below testdata, which must be there: Testdata(t, "models", "tiny-llama").
func Testdata(t testing.TB, parts ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{Root(t), "testdata"}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("find a fixture: %v (make golden makes it)", err)
	}
	return path
}

// Shared is a path below ../shared/data, beside the module's folder. Where it is absent the test is skipped; or it fails, if
// $DPO_ORT_NEED_SHARED is 1, so that a machine which should have the data cannot pass without looking.
func Shared(t testing.TB, rel string) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(Root(t)), "shared", "data", filepath.FromSlash(rel))
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("DPO_ORT_NEED_SHARED") == "1" {
			t.Fatalf("needs shared/data/%s: %v", rel, err)
		}
		t.Skipf("needs shared/data/%s: not present", rel)
	}
	return path
}

// JSON decodes a file into dst.
func JSON(t testing.TB, path string, dst any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read reference numbers: %v", err)
	}
	if err := json.Unmarshal(data, dst); err != nil {
		t.Fatalf("read reference numbers %s: %v", path, err)
	}
}

// Long reports whether tests are to run in their long forms.
func Long() bool { return os.Getenv("DPO_ORT_LONG") == "1" }
