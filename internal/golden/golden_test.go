package golden

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestRootHoldsTheModule(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(Root(t), "go.mod"))
	if err != nil || !strings.HasPrefix(string(text), "module github.com/dpo-ort/dpo-ort\n") {
		t.Errorf("%s: %v", Root(t), err)
	}
}

func TestSharedSkipsOrFails(t *testing.T) {
	for need, failed := range map[string]bool{"": false, "1": true} {
		t.Setenv("DPO_ORT_NEED_SHARED", need)
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Shared(r, "no/such/file")
		}()
		<-done
		if r.failed != failed || r.skipped == failed || !strings.HasPrefix(r.message, "needs shared/data/no/such/file: ") {
			t.Errorf("need %q: failed %v, skipped %v, %q", need, r.failed, r.skipped, r.message)
		}
	}
}

func TestPythonSkips(t *testing.T) {
	t.Setenv(PythonVariable, "")
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		Python(r, "no_such_module")
	}()
	<-done
	if !r.skipped || !strings.HasPrefix(r.message, "needs Python with no_such_module ") {
		t.Errorf("skipped %v, %q", r.skipped, r.message)
	}
}

func TestTensors(t *testing.T) {
	header := `{"__metadata__":{"made":"by hand"},"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[],"data_offsets":[16,20]}}`
	data := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	data = append(data, header...)
	for _, x := range []float64{1e-300, math.Pi} {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(x))
	}
	data = binary.LittleEndian.AppendUint32(data, math.Float32bits(-0.5))
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	got := Tensors(t, path)
	if len(got) != 2 || !slices.Equal(got["a"].Values, []float64{1e-300, math.Pi}) || !slices.Equal(got["b"].Values, []float64{-0.5}) {
		t.Errorf("read %v", got)
	}
}

func TestTensorsRefusesWhatIsNotNumbers(t *testing.T) {
	for name, c := range map[string]struct{ header, want string }{
		"short":   {"", "no safetensors file"},
		"integer": {`{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`, "element type I64"},
		"shape":   {`{"a":{"dtype":"F64","shape":[3],"data_offsets":[0,8]}}`, "shape [3] and 1 values"},
		"outside": {`{"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}`, "outside the file"},
	} {
		t.Run(name, func(t *testing.T) {
			var data []byte
			if c.header != "" {
				data = binary.LittleEndian.AppendUint64(nil, uint64(len(c.header)))
				data = append(append(data, c.header...), make([]byte, 8)...)
			}
			if _, err := decode(data); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// recorder notes how a test would have ended.
type recorder struct {
	testing.TB
	failed, skipped bool
	message         string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed, r.message = true, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped, r.message = true, fmt.Sprintf(format, args...)
	runtime.Goexit()
}
