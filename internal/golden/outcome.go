package golden

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// measuredTimes are the metrics that differ between equal runs.
var measuredTimes = []string{"step_seconds", "optimizer_seconds", "tokens_per_second", "peak_memory_bytes", "reference_seconds", "eval_seconds"}

// Outcome lists the digests of what a finished training run has left in its output directory: of all files but the states with their times
// and the event file, and of metrics all but times.
func Outcome(t testing.TB, out string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(out, path)
		if err != nil || d.IsDir() || strings.Contains(name, ".damaged") || d.Name() == "state.json" || strings.HasPrefix(d.Name(), "events.") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if d.Name() == "metrics.jsonl" {
			text = withoutTimes(t, text)
		}
		if d.Name() == "config.yaml" {
			text = regexp.MustCompile(`(?m)^out: .*$`).ReplaceAll(text, nil)
		}
		fmt.Fprintf(&all, "%s %x\n", name, sha256.Sum256(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func withoutTimes(t testing.TB, lines []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	for line := range bytes.Lines(lines) {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatalf("metrics: %v in %q", err, line)
		}
		for _, name := range measuredTimes {
			delete(fields, name)
		}
		text, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(text, '\n'))
	}
	return out.Bytes()
}

// Difference lists the lines that are in one text only.
func Difference(want, got string) string {
	var out []string
	for line := range strings.Lines(want + got) {
		if !strings.Contains(want, line) || !strings.Contains(got, line) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}
