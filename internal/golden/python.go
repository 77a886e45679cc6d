package golden

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// PythonVariable names the environment variable that names a Python interpreter with what other programs read our files by.
const PythonVariable = "DPO_ORT_INTEROP_PYTHON"

// PeersVariable names the environment variable that names a Python interpreter with transformers and TRL.
const PeersVariable = "DPO_ORT_BENCH_PYTHON"

// RuntimesVariable names the environment variable that names a Python interpreter with ONNX Runtime GenAI and Optimum.
const RuntimesVariable = "DPO_ORT_ONNX_PYTHON"

// Runtimes is the interpreter that $DPO_ORT_ONNX_PYTHON names. Where it names none the test is skipped.
func Runtimes(t testing.TB) string {
	t.Helper()
	python := os.Getenv(RuntimesVariable)
	if python == "" {
		t.Skipf("needs Python with ONNX Runtime GenAI and Optimum (make interop-onnx, and its path in $%s): not present", RuntimesVariable)
	}
	return python
}

// Peers is the interpreter that $DPO_ORT_BENCH_PYTHON names, or that of `make golden`. Where there is none the test is skipped.
func Peers(t testing.TB) string {
	t.Helper()
	for _, name := range []string{os.Getenv(PeersVariable), filepath.Join(Root(t), "build", "golden-venv", "bin", "python")} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("needs Python with transformers (make bench-peers, and its path in $%s): not present", PeersVariable)
	return ""
}

// Python is an interpreter that can import modules: the one that $DPO_ORT_INTEROP_PYTHON names, that of `make golden`, or the
// system's. Where there is none the test is skipped; where the variable names one, it must do.
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	imports := "import " + strings.Join(modules, ", ")
	if path := os.Getenv(PythonVariable); path != "" {
		if out, err := exec.Command(path, "-c", imports).CombinedOutput(); err != nil {
			t.Fatalf("$%s: %v: %s", PythonVariable, err, out)
		}
		return path
	}
	for _, name := range []string{filepath.Join(Root(t), "build", "golden-venv", "bin", "python"), "python3"} {
		path, err := exec.LookPath(name)
		if err == nil && exec.Command(path, "-c", imports).Run() == nil {
			return path
		}
	}
	t.Skipf("needs Python with %s (make interop): not present", strings.Join(modules, ", "))
	return ""
}
