package dpo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
)

// lossFile is a loss that Python's onnx package wrote: see scripts/golden/make_lossfiles.py.
func lossFile(t *testing.T, name string) string {
	t.Helper()
	return golden.Testdata(t, "loss", name+".onnx")
}

// The sigmoid loss as a file trains to the metrics of the built-in one: to the same bits in float64, and to its rounding in float32.
func TestLossFileTrainsAsTheBuiltIn(t *testing.T) {
	c := tinyConfig(t)
	c.Steps, c.LabelSmoothing = 6, 0.1
	want := mustTrain(t, c)
	for _, f := range []struct {
		name      string
		smoothing float64
		near      float64
	}{{"sigmoid", 0.1, 0}, {"sigmoid32", 0, 2e-6}} {
		if f.smoothing == 0 {
			c.LabelSmoothing, c.Loss, c.Out = 0, "sigmoid", filepath.Join(t.TempDir(), "out")
			want = mustTrain(t, c)
		}
		c.Loss, c.Out = lossFile(t, f.name), filepath.Join(t.TempDir(), "out")
		for i, m := range mustTrain(t, c) {
			w := want[i]
			for what, pair := range map[string][2]float64{"loss": {m.Loss, w.Loss}, "norm": {m.GradNorm, w.GradNorm}, "chosen": {m.Chosen, w.Chosen},
				"rejected": {m.Rejected, w.Rejected}, "accuracy": {m.Accuracies, w.Accuracies}, "logps": {m.ChosenLogps, w.ChosenLogps}} {
				if !nearly(pair[0], pair[1], f.near) {
					t.Errorf("%s, step %d: %s %v, built in %v", f.name, m.Step, what, pair[0], pair[1])
				}
			}
		}
	}
}

// nearly reports whether a is b to so much of 1 and of b.
func nearly(a, b, near float64) bool { return a == b || max(a-b, b-a) <= near*(1+max(b, -b)) }

// A file that is wrong is refused when it is read, by the input, output or node that is.
func TestWrongLossFilesAreRefused(t *testing.T) {
	cases := map[string]string{
		"no-losses":       "it has no output losses [G]; its outputs are sum",
		"shape":           "output losses, of node losses_node, is float64[G,2]: a number for each group, [G]",
		"sum-over-groups": "output losses, of node losses_node, is float64[2]: a number for each group, [G]",
		"input":           "input scores is unknown: beta, choices, label_smoothing, lengths, margin, mean_tokens, policy_logps, reference_logps, rivals, weight and wins are there",
		"input-shape":     "input policy_logps has the shape [8,2]: [G,2] is needed",
		"input-type":      "input policy_logps is int64: float32 or float64 is needed",
		"no-gradient":     "no gradient rule for Asinh (node a_node)",
		"no-rule":         "node losses_node: no shape rule for operator Det",
		"sizes":           "node s_node: Mul(r float64[G,2], three float64[3]): sizes 2 and 3 do not broadcast",
		"constant":        "the losses do not depend on policy_logps",
		"opset":           "it is written in opset 17: 18 to 21 are understood",
		"no-onnx":         "not a protobuf of ONNX",
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(lossFile(t, "sigmoid")), "wrong-*.onnx"))
	if err != nil || len(files) != len(cases) {
		t.Fatalf("%d files for %d cases (%v)", len(files), len(cases), err)
	}
	for name, want := range cases {
		c := tinyConfig(t)
		c.Loss = lossFile(t, "wrong-"+name)
		err := c.Check()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "wrong-"+name+".onnx") {
			t.Errorf("%s: error %v, want %s", name, err, want)
		}
	}
	c := tinyConfig(t)
	c.Loss = "nowhere.onnx"
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "loss: open nowhere.onnx: no such file") {
		t.Errorf("no file: %v", err)
	}
}

// A run keeps its loss in the artifact, goes on with it, and refuses to with a file that has changed.
func TestResumeKnowsTheLossFile(t *testing.T) {
	c := tinyConfig(t)
	c.Loss, c.Steps, c.Batch, c.SaveEvery = filepath.Join(t.TempDir(), "own.onnx"), 4, 8, 2
	text, err := os.ReadFile(lossFile(t, "sigmoid"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Loss, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := train(t, c, false, func(step int) bool { return step == 2 }); err == nil {
		t.Fatal("the run was not stopped")
	}
	a, err := artifact.Load(filepath.Join(c.Out, runFolder, artifactFolder))
	if err != nil || !strings.HasPrefix(a.Loss, "own.onnx ") || a.Graphs[lossGraph].Output("dlogps") == nil {
		t.Errorf("artifact of loss %q (%v)", a.Loss, err)
	}
	other, err := os.ReadFile(lossFile(t, "sigmoid32"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Loss, other, 0o644); err != nil {
		t.Fatal(err)
	}
	want := "own.onnx is not the file that the run began with: put that back"
	if _, err := train(t, c, true, nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("with another file: %v, want %s", err, want)
	}
	checkpoints := filepath.Join(c.Out, runFolder, checkpointFolder)
	if err := os.Rename(checkpoints, checkpoints+".aside"); err != nil {
		t.Fatal(err)
	}
	if _, err := train(t, c, true, nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("with another file, before the first checkpoint: %v, want %s", err, want)
	}
	if err := os.Rename(checkpoints+".aside", checkpoints); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.Out, runFolder, artifactFolder)); err != nil {
		t.Fatal(err)
	}
	if _, err := train(t, c, true, nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("with another file and without the artifact: %v, want %s", err, want)
	}
	if err := os.WriteFile(c.Loss, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if m, err := train(t, c, true, nil); err != nil || len(m) != 2 {
		t.Errorf("with the file put back: %d steps (%v)", len(m), err)
	}
}

// Whatever a file holds, it is refused, or a loss that can be differentiated; nothing panics.
func FuzzLossFile(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(golden.Root(f), "testdata", "loss", "*.onnx"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no files of losses (%v)", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := lossFromBytes("own.onnx", data)
		if (l == nil) == (err == nil) {
			t.Errorf("loss %v, error %v", l, err)
		}
	})
}
