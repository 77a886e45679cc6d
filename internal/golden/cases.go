package golden

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BackendSuite is the folder of the node tests of ONNX's own backend test suite: $DPO_ORT_ONNX_BACKEND, or where
// scripts/onnx-backend-data puts them. Where it is absent the test is skipped.
func BackendSuite(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("DPO_ORT_ONNX_BACKEND")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skipf("needs ONNX's backend tests: %v", err)
		}
		found, _ := filepath.Glob(filepath.Join(cache, "dpo-ort", "onnx-*-backend", "node"))
		if len(found) > 0 {
			dir = found[len(found)-1]
		}
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("needs ONNX's backend tests: not present (make onnx-backend fetches them)")
	}
	return dir
}

// Cases holds a list of cases, a line each ("name run" or "name skipped: reason"), against the committed one: the same
// lines, and no fewer that run. With update the committed list is rewritten.
func Cases(t testing.TB, path, list string, update bool) {
	t.Helper()
	if update {
		if err := os.WriteFile(path, []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read the list of cases: %v (run the test with -update)", err)
	}
	run := func(s string) int { return strings.Count(s, " run\n") }
	if got, want := run(list), run(string(text)); got < want {
		t.Errorf("%d cases run, %s lists %d", got, path, want)
	}
	if list == string(text) {
		return
	}
	committed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		committed[line] = true
	}
	for line := range strings.Lines(list) {
		if !committed[line] {
			t.Errorf("not in %s (run the test with -update if it is right): %s", path, strings.TrimSpace(line))
		}
	}
}
