//go:build unix

package dpo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// inOrderOfTheFile trains without shuffling: on rows that stream where steps are given, and else on those of epochs, all read first.
func inOrderOfTheFile(t *testing.T, rows, steps, epochs int) Config {
	t.Helper()
	c := tinyConfig(t)
	c.NoShuffle, c.Data, c.Steps, c.Epochs = true, []string{writePairs(t, rows)}, steps, epochs
	c.MicroBatch, c.EvalData = 3, []string{writePairs(t, 5)}
	return c
}

// untimed leaves out of a step's metrics what was measured, and the epoch, which a stream does not know before its end.
func untimed(m []Metrics) []Metrics {
	m = slices.Clone(m)
	for i := range m {
		m[i].Epoch, m[i].StepSeconds, m[i].TokensPerSecond, m[i].PeakMemoryBytes, m[i].ReferenceSeconds, m[i].OptimizerSeconds = 0, 0, 0, 0, 0, 0
	}
	return m
}

func sameWeights(t *testing.T, a, b string) {
	t.Helper()
	for _, file := range []string{"model.safetensors", "run/dropped.jsonl"} {
		x, err1 := os.ReadFile(filepath.Join(a, file))
		y, err2 := os.ReadFile(filepath.Join(b, file))
		if err1 != nil || err2 != nil || !bytes.Equal(x, y) {
			t.Errorf("%s differs (%v, %v)", file, err1, err2)
		}
	}
}

// Whether rows are read while steps are taken or before the first changes no bit: with a reference of its own or without, once
// through the data or twice, with a short last batch.
func TestStreamEqualsAllRowsFirst(t *testing.T) {
	for _, ref := range []string{"", golden.Testdata(t, "models", "tiny-llama")} {
		for rows, epochs := range map[int]int{24: 1, 20: 2} {
			t.Run(fmt.Sprintf("%d rows, %d epochs, reference %q", rows, epochs, filepath.Base(ref)), func(t *testing.T) {
				all, streamed := inOrderOfTheFile(t, rows, 0, epochs), inOrderOfTheFile(t, rows, 3*epochs, 1)
				all.Ref, streamed.Ref = ref, ref
				want, got := mustTrain(t, all), mustTrain(t, streamed)
				if !slices.Equal(untimed(got), untimed(want)) {
					t.Errorf("metrics\n%+v, with all rows read first\n%+v", got, want)
				}
				if last := got[len(got)-1].Epoch; last != float64(epochs) {
					t.Errorf("the last step ends epoch %v, want %d", last, epochs)
				}
				sameWeights(t, all.Out, streamed.Out)
			})
		}
	}
}

// The first step is over before the reader has had more than its rows and those that are tokenized ahead.
func TestFirstStepComesBeforeTheLastRow(t *testing.T) {
	c := inOrderOfTheFile(t, 160, 20, 1)
	text, err := os.ReadFile(c.Data[0])
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "pairs.jsonl")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no named pipes here: ", err)
	}
	c.Data = []string{pipe}
	lines := bytes.SplitAfter(bytes.TrimSpace(text), []byte("\n"))
	stepped := make(chan struct{})
	go func() { // as slow as they come: all but the first step's rows only after that step
		w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err != nil {
			return
		}
		defer w.Close()
		_, _ = w.Write(bytes.Join(lines[:c.Batch], nil)) // the run says if they do not come
		<-stepped
		_, _ = w.Write(bytes.Join(lines[c.Batch:], nil))
	}()
	trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	steps := 0
	for e, err := range trainer.Run(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Metrics == nil {
			continue
		}
		if steps++; steps == 1 {
			if n := len(trainer.rows.Examples); n != c.Batch {
				t.Errorf("%d rows after the first step, want its %d", n, c.Batch)
			}
			close(stepped)
		}
	}
	if steps != 20 {
		t.Errorf("%d steps, want 20", steps)
	}
}

// A stream that is interrupted goes on to the same bits, before and after it has met all rows, and its metrics are those of
// a run that was not.
func TestStreamResumes(t *testing.T) {
	through := inOrderOfTheFile(t, 20, 6, 1)
	want := mustTrain(t, through)
	for _, stop := range []int{1, 4} {
		c, got := stoppedAndResumed(t, through, stop)
		if !slices.Equal(untimed(got), untimed(want[stop:])) || got[0].Epoch != want[stop].Epoch {
			t.Errorf("after step %d: metrics\n%+v, without the interruption\n%+v", stop, got, want[stop:])
		}
		if stop == 4 && got[0].ReferenceSeconds != 0 {
			t.Error("references that were kept are computed again")
		}
		sameWeights(t, through.Out, c.Out)
	}
}

// A bad row ends the run when a step needs it, with the state before it saved; mended, the run goes on to the same bits. What
// no step needs is not read.
func TestStreamEndsAtABadRow(t *testing.T) {
	through := inOrderOfTheFile(t, 24, 3, 1)
	mustTrain(t, through)
	whole, err := os.ReadFile(through.Data[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	c := through
	c.Out, c.Data = filepath.Join(t.TempDir(), "out"), []string{filepath.Join(t.TempDir(), "pairs.jsonl")}
	write := func(lines ...[]byte) {
		t.Helper()
		if err := os.WriteFile(c.Data[0], bytes.Join(lines, nil), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bad := []byte("{\"prompt\": 1\n")
	write(bytes.Join(lines[:20], nil), bad, bytes.Join(lines[20:], nil))
	got, err := train(t, c, false, nil)
	if len(got) != 2 || err == nil || !strings.Contains(err.Error(), "pairs.jsonl:21") || !strings.Contains(err.Error(), "step-000002") {
		t.Fatalf("%d steps, error %v", len(got), err)
	}
	write(whole, bad)
	if _, err := train(t, c, true, nil); err != nil {
		t.Fatal(err)
	}
	sameWeights(t, through.Out, c.Out)
}
