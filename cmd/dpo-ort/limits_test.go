package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// TestLimits holds that each verb that reads data has both limits, and that a file over one is refused with the row group, the size
// and the flag.
func TestLimits(t *testing.T) {
	for _, cmd := range allCommands(newRoot()) {
		reads := cmd.Flags().Lookup("data") != nil || slices.Contains([]string{"report", "frontier"}, cmd.Name())
		for _, flag := range []string{"max-page-bytes", "max-row-group-rows"} {
			if (cmd.Flags().Lookup(flag) != nil) != reads {
				t.Errorf("%s: --%s is there: %v", cmd.CommandPath(), flag, !reads)
			}
		}
	}
	defer datasets.SetLimits(datasets.Limits{})
	data := filepath.Join("..", "..", "testdata", "pref", "tiny.pairs.parquet")
	for _, c := range []struct{ flag, want string }{
		{"--max-page-bytes=100", "row group 0: column prompt: page 0: it is of "},
		{"--max-page-bytes=100", " bytes, more than --max-page-bytes 100: write smaller pages, or allow more"},
		{"--max-row-group-rows=10", "row group 0 has 64 rows, more than --max-row-group-rows 10: write smaller row groups, or allow more"},
		{"--max-page-bytes=0", "a size from 1 byte to 2GiB is needed"},
		{"--max-row-group-rows=x", "a number of rows from 1 on is needed"},
	} {
		for _, verb := range [][]string{{"data", "inspect"}, {"data", "convert", "--out", filepath.Join(t.TempDir(), "x.jsonl")}, {"data", "validate"}} {
			datasets.SetLimits(datasets.Limits{})
			var out, said strings.Builder
			code := run(append(slices.Clone(verb), "--data", data, c.flag), &out, &said)
			if text := out.String() + said.String(); code == 0 || !strings.Contains(text, c.want) {
				t.Errorf("%v %s: exit code %d: %s, want %q", verb, c.flag, code, text, c.want)
			}
		}
	}
	datasets.SetLimits(datasets.Limits{})
	var out strings.Builder
	if code := run([]string{"data", "validate", "--data", data, "--max-page-bytes", "1MiB", "--max-row-group-rows", "64"}, &out, os.Stderr); code != 0 {
		t.Errorf("within its limits: %s", out.String())
	}
}

// What a file names is shown without the characters by which it could drive the terminal.
func TestErrorsArePrintable(t *testing.T) {
	data := filepath.Join(t.TempDir(), "a.jsonl")
	if err := os.WriteFile(data, []byte(`{"a\u001b[2J":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, said strings.Builder
	if code := run([]string{"data", "convert", "--data", data, "--out", filepath.Join(t.TempDir(), "x.zip")}, &out, &said); code == 0 || strings.ContainsRune(said.String(), 0x1b) {
		t.Errorf("exit code %d: %q", code, said.String())
	}
	if got := printable("a\x1b[2J\nb\tc\u009b"); got != "a�[2J\nb\tc�" {
		t.Errorf("%q", got)
	}
}
