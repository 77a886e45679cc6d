package dpo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// generateTiny continues prompts with tiny-llama until the end, or until stop events have come; then the loop is left.
func generateTiny(ctx context.Context, t *testing.T, f GenerateFiles, stop int, threads int) (events []GenerateEvent, err error) {
	t.Helper()
	c := generateConfig(golden.Testdata(t, "models", "tiny-llama"), func(c *GenerateConfig) {
		c.Samples, c.Batch, c.MaxTokens, c.Threads, c.TopP = 3, 8, 12, threads, 0.9
	})
	for e, err := range Generate(ctx, c, loadTokenizer(t, c.Model), f) {
		if err != nil {
			return events, err
		}
		if events = append(events, e); len(events) == stop {
			break
		}
	}
	return events, nil
}

// A job that is stopped anywhere, a part of it lost, goes on to the bytes of one that is not, with any number of threads, and leaves
// nothing else: no file, no goroutine, no memory.
func TestGenerateResumesToTheSameBytes(t *testing.T) {
	ctx, data := context.Background(), []string{writePairs(t, 60)}
	whole := GenerateFiles{Data: data, Out: outFile(t)}
	if _, err := generateTiny(ctx, t, whole, 0, 1); err != nil {
		t.Fatal(err)
	}
	want, live, goroutines := readBytes(t, whole.Out), ort.Live(), runtime.NumGoroutine()
	for stop := 2; stop <= 4; stop++ {
		f, rows := GenerateFiles{Data: data, Out: outFile(t)}, int64(0)
		for range 2 {
			events, err := generateTiny(ctx, t, f, stop, 2)
			if err != nil {
				t.Fatal(err)
			}
			if events[0].Resumed != rows {
				t.Errorf("after %d rows the job goes on with %+v", rows, events[0])
			}
			rows = events[len(events)-1].Rows
		}
		if stop == 4 { // a crash in the midst of a part loses it
			parts := names(t, f.Out+partsSuffix)
			if err := os.Remove(filepath.Join(f.Out+partsSuffix, parts[1])); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := generateTiny(ctx, t, f, 0, 2); err != nil {
			t.Fatal(err)
		}
		if got := readBytes(t, f.Out); !bytes.Equal(got, want) {
			t.Errorf("stopped after %d events: %d bytes that differ from the %d of a job that was not", stop, len(got), len(want))
		}
		if left := names(t, filepath.Dir(f.Out)); len(left) != 1 {
			t.Errorf("the job leaves %v", left)
		}
	}
	if n := ort.Live(); n != live {
		t.Errorf("%d sessions and buffers are left, %d were before", n, live)
	}
	for wait := 0; runtime.NumGoroutine() > goroutines && wait < 100; wait++ {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines run, %d did before", n, goroutines)
	}
}

// An interrupted job keeps the windows that are whole.
func TestGenerateInterrupted(t *testing.T) {
	f := GenerateFiles{Data: []string{writePairs(t, 60)}, Out: outFile(t)}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := generateTiny(ctx, t, f, 0, 1); !errors.Is(err, ErrInterrupted) {
		t.Errorf("error %v", err)
	}
	if left := names(t, filepath.Dir(f.Out)); len(left) != 0 {
		t.Errorf("the job leaves %v", left)
	}
}

// The output has the input's columns but for answers, and a list entry a sample; a prompt that cannot be continued has its error.
func TestGenerateWritesRows(t *testing.T) {
	data := filepath.Join(t.TempDir(), "in.jsonl")
	long := strings.Repeat("the cat ", 300)
	text := `{"id": 1, "prompt": "the cat", "chosen": " sat", "rejected": " ran", "finish_reason": "length"}
{"id": 2, "prompt": "` + long + `", "chosen": " sat", "rejected": " ran", "finish_reason": "length"}
{"id": 3, "prompt": null, "chosen": " sat", "rejected": " ran", "finish_reason": "length"}
`
	if err := os.WriteFile(data, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f := GenerateFiles{Data: []string{data}, Out: outFile(t)}
	events, err := generateTiny(context.Background(), t, f, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if e := events[len(events)-1]; e.Rows != 3 || e.Failed != 2 || e.Samples != 3 {
		t.Errorf("%+v", e)
	}
	table, err := datasets.OpenTable(f.Out, datasets.Options{AnyColumns: true})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if want := []string{"id", "prompt", "completions", "completion_logps", "completion_tokens", "finish_reasons", "error"}; !reflect.DeepEqual(table.Columns(), want) {
		t.Errorf("columns %v, want %v", table.Columns(), want)
	}
	if table.Metadata()[generateMetadata] == "" {
		t.Error("the file does not say what it was made with")
	}
	out := filepath.Join(t.TempDir(), "out.jsonl")
	for _, err := range datasets.Convert([]string{f.Out}, out, false) {
		if err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(string(readBytes(t, out))), "\n")
	for i, want := range []string{`"error":null`, `leave no room in the model's context of 512`, `column prompt: it holds null`} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("row %d: %.300s, want %s in it", i, lines[i], want)
		}
	}
	strict := GenerateFiles{Data: []string{data}, Out: outFile(t), Strict: true}
	if _, err := generateTiny(context.Background(), t, strict, 0, 1); err == nil || !strings.Contains(err.Error(), "continue row 1 of "+data) {
		t.Errorf("strict: %v", err)
	}
}
