package bench_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestBench runs compare_test.py: what the bench concludes from its numbers, and what it measures with.
func TestBench(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3: not present")
	}
	noticed(t)
	run := exec.Command(python, "-B", "-m", "unittest", "compare_test")
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("python3 -m unittest compare_test, in bench: %v\n%s", err, out)
	}
}

// noticed looks at the Python files, so that go test runs this test again when one has changed.
func noticed(t *testing.T) {
	for _, pattern := range []string{"*.py", "cases/*.py"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("find the bench's files: %d are %s (%v)", len(files), pattern, err)
		}
		for _, file := range files {
			if _, err := os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
	}
}
