package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/internal/demo"
)

// demonstrate runs the demo's pipeline with settings as small as show that its stages fit each other.
func demonstrate(ctx context.Context, t *testing.T, out string) (stdout, stderr string, err error) {
	t.Helper()
	stage := demo.Stage{Optimizer: "adamw", Clip: 1, LR: 3e-3, Batch: 8, Steps: 4, Warmup: 1}
	small := demo.Pipeline{Shape: demo.Shape{Hidden: 32, Intermediate: 32, Layers: 1, Heads: 2, KVHeads: 1, Positions: 128}, Reviews: 64, HeldOut: 8, Prompts: 8, Fresh: 6, Tries: 4,
		Samples: 4, Longest: 12, Learn: stage, Align: stage, Betas: []float64{0.5}, Imitate: stage, Points: 2, Reference: 128}
	var o, e bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	err = runPipeline(cmd, demoFlags{out: out}, small)
	return o.String(), e.String(), err
}

// The demo runs all stages; stopped in any of them it goes on, and what is done is not done again.
func TestDemoPipeline(t *testing.T) {
	out := filepath.Join(t.TempDir(), "demo")
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := demonstrate(stopped, t, out); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Fatalf("interrupted: %v", err)
	}
	stdout, stderr, err := demonstrate(context.Background(), t, out)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"reference ", "pairs     ", "best of 128", "dpo beta-0.5 step 2", "dpo beta-0.5 step 4", "preferred-ft", "written   "} {
		if !strings.Contains(stdout, line) {
			t.Errorf("stdout lacks %q:\n%s", line, stdout)
		}
	}
	for _, stage := range []string{"sft", "generate", "label", "frontier"} {
		if !strings.Contains(stderr, "\n"+stage+"\n") {
			t.Errorf("stderr lacks stage %s:\n%s", stage, stderr)
		}
	}
	first, err := os.ReadFile(filepath.Join(out, "frontier", "frontier.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, stderr, err = demonstrate(context.Background(), t, out)
	again, _ := os.ReadFile(filepath.Join(out, "frontier", "frontier.json"))
	if err != nil || !bytes.Equal(first, again) || strings.Contains(stderr, "train ") || strings.Contains(stderr, "try ") {
		t.Errorf("done again: %v\n%s", err, stderr)
	}
	if _, err := os.Stat(filepath.Join(out, "frontier", "report.html")); err != nil {
		t.Error(err)
	}
}
