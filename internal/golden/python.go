package golden

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Python is an interpreter that can import module: that of `make golden`, or the system's. Where there is none the test is skipped.
func Python(t testing.TB, module string) string {
	t.Helper()
	for _, name := range []string{filepath.Join(Root(t), "build", "golden-venv", "bin", "python"), "python3"} {
		path, err := exec.LookPath(name)
		if err == nil && exec.Command(path, "-c", "import "+module).Run() == nil {
			return path
		}
	}
	t.Skipf("needs Python with %s: not present (make golden makes one)", module)
	return ""
}
