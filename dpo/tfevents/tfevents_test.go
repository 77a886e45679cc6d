package tfevents

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// A line is what is written at one step, and when.
type line struct {
	WallTime float64 `json:"wall_time"`
	Step     int64
	Scalars  map[string]float64
}

// reference gives the lines that TensorBoard's own writer was given, and the file it made: see scripts/golden/make_events.py.
func reference(t *testing.T) (lines []line, file []byte) {
	t.Helper()
	golden.JSON(t, golden.Testdata(t, "golden", "events.json"), &lines)
	file, err := os.ReadFile(golden.Testdata(t, "golden", "events.tfevents"))
	if err != nil {
		t.Fatal(err)
	}
	return lines, file
}

// writing opens a file whose clock shows, event after event, the time of the lines; the first is that of the file.
func writing(t *testing.T, path string, length int64, at *int, lines []line) *Writer {
	t.Helper()
	w, err := open(path, length, func() time.Time {
		now := time.UnixMicro(int64(math.Round(lines[max(0, *at)].WallTime * 1e6)))
		*at++
		return now
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func write(t *testing.T, w *Writer, lines []line) {
	t.Helper()
	for _, l := range lines {
		if err := w.Write(l.Step, l.Scalars); err != nil {
			t.Fatal(err)
		}
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The bytes are those of TensorBoard's own writer, of step 0 and of zeros too.
func TestWriteEqualsTensorBoard(t *testing.T) {
	lines, want := reference(t)
	path, at := filepath.Join(t.TempDir(), "events"), -1
	write(t, writing(t, path, 0, &at, lines), lines)
	if got := contents(t, path); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, TensorBoard's writer has %d:\n%x\n%x", len(got), len(want), got, want)
	}
}

// A file that is cut back to a length, and gone on with, has the bytes of one that was written through.
func TestOpenCutsBack(t *testing.T) {
	lines, want := reference(t)
	path, at := filepath.Join(t.TempDir(), "events"), -1
	w := writing(t, path, 0, &at, lines)
	write(t, w, lines[:1])
	length, err := w.Length()
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, lines[1:])
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	at = 1
	write(t, writing(t, path, length, &at, lines), lines[1:])
	if got := contents(t, path); length == 0 || !bytes.Equal(got, want) {
		t.Errorf("cut at %d and gone on with: %d bytes, written through %d", length, len(got), len(want))
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "nowhere", "events"), 0); err == nil {
		t.Error("a file in a folder that is not there is opened")
	}
}

// TensorBoard's reader, which checks each CRC, finds each step's values.
func TestTensorBoardReads(t *testing.T) {
	python := golden.Python(t, "tensorboard")
	lines, _ := reference(t)
	dir, at := t.TempDir(), -1
	write(t, writing(t, filepath.Join(dir, "events.out.tfevents.run"), 0, &at, lines), lines)
	out, err := exec.Command(python, filepath.Join(golden.Root(t), "scripts", "golden", "read_events.py"), dir).Output()
	if err != nil {
		t.Fatalf("read_events.py: %v", err)
	}
	var found map[string][][2]json.Number // tag → steps and values
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("read_events.py wrote %s: %v", out, err)
	}
	values := 0
	for _, l := range lines {
		for tag, want := range l.Scalars {
			values++
			at := found[tag]
			if len(at) == 0 {
				t.Fatalf("step %d: %s is not found", l.Step, tag)
			}
			step, _ := at[0][0].Int64()
			got, _ := at[0][1].Float64()
			if step != l.Step || float32(got) != float32(want) {
				t.Errorf("step %d: %s is %v; TensorBoard reads %v at step %d", l.Step, tag, want, got, step)
			}
			found[tag] = at[1:]
		}
	}
	if values < 8 {
		t.Fatalf("only %d values to compare", values)
	}
}
