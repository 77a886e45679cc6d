package dpo

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Another program takes the step that a run takes, from what export writes alone: the same loss, and new weights within 1e-5.
func TestInteropArtifactStep(t *testing.T) {
	python := golden.Python(t, "onnxruntime", "numpy")
	c := tinyConfig(t)
	c.Batch, c.Steps, c.Optimizer, c.LR, c.WarmupRule, c.NoShuffle = 1, 1, "rmsprop", 1e-3, "trl", true
	c.Data = []string{head(t, golden.Testdata(t, "pref", "tiny.pairs.jsonl"), 1)}
	step := mustTrain(t, c)[0]

	dir := t.TempDir()
	m := openModel(t, c.Model)
	sigmoid, err := loss.Lookup("sigmoid")
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewArtifact(m.Architecture, m.Decoder, Export{Types: models.Types{Compute: onnx.Float32, Weights: onnx.Float32}, Loss: sigmoid, Optimizer: "rmsprop",
		Rungs: []artifact.Rung{artifact.Recompute}})
	if err != nil {
		t.Fatal(err)
	}
	graphs, row, out := filepath.Join(dir, "graphs"), filepath.Join(dir, "row.json"), filepath.Join(dir, "new.safetensors")
	if err := a.Write(graphs); err != nil {
		t.Fatal(err)
	}
	rows, err := ReadRows(c.Data, datasets.Options{}, &datasets.Encoder{Tokenizer: loadTokenizer(t, c.Model), MaxLength: c.MaxLength, EOS: datasets.EOSAdd}, m.Vocab, "")
	if err != nil {
		t.Fatal(err)
	}
	x := rows.Examples[0]
	text, err := json.Marshal(map[string]any{"prompt": x.Prompt, "completions": [][]int32{x.Completions[0].IDs, x.Completions[1].IDs}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(row, text, 0o644); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(python, filepath.Join(golden.Root(t), "scripts", "artifact-step"), graphs, filepath.Join(c.Model, "model.safetensors"), row, out, "1e-3", "0.1").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	var theirs struct {
		Loss     float64
		Logps    []float64
		GradNorm float64 `json:"grad_norm"`
	}
	if err := json.Unmarshal(said, &theirs); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if d := math.Abs(theirs.Logps[0] - step.ChosenLogps); !(d <= 1e-5*math.Abs(step.ChosenLogps)) {
		t.Errorf("log-probability %v, ours is %v", theirs.Logps[0], step.ChosenLogps)
	}
	if math.Abs(theirs.Loss-step.Loss) > 1e-5 || math.Abs(theirs.GradNorm/step.GradNorm-1) > 1e-5 {
		t.Errorf("loss %v and norm %v, ours are %v and %v", theirs.Loss, theirs.GradNorm, step.Loss, step.GradNorm)
	}
	ours := openModel(t, c.Out)
	f, err := safetensors.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	worst, moved := 0.0, 0.0
	for _, name := range ours.Tensors() {
		was, now, other := floatsOf(t, m, name), floatsOf(t, ours, name), floatsOf(t, f, name)
		for i := range now {
			worst, moved = math.Max(worst, math.Abs(float64(now[i]-other[i]))), math.Max(moved, math.Abs(float64(now[i]-was[i])))
		}
	}
	t.Logf("loss %v, norm %v; weights moved by %.1e at most, and lie %.1e apart", step.Loss, step.GradNorm, moved, worst)
	if worst > 1e-5 || moved < 1e-4 {
		t.Errorf("weights lie %v apart, of %v moved", worst, moved)
	}
}

// floatsOf are the elements of a float32 tensor.
func floatsOf(t *testing.T, from interface {
	Tensor(name string) (safetensors.Tensor, error)
}, name string) []float32 {
	t.Helper()
	x, err := from.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(x.Data)/4)
	if err := safetensors.Decode(x, out); err != nil {
		t.Fatal(err)
	}
	return out
}
