package dpo

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/graphtest"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// exportedFiles are models that others exported, with the directory that each was exported from and TRL's run from there.
var exportedFiles = map[string]struct{ source, run string }{
	"gpt2-script":   {"tiny-gpt2", "tiny-gpt2"},
	"gpt2-optimum":  {"tiny-gpt2", "tiny-gpt2"},
	"llama-optimum": {"tiny-llama", "tiny-llama-sgd"},
	"gpt2-dynamo":   {"tiny-gpt2", "tiny-gpt2"},
	"llama-script":  {"tiny-llama", "tiny-llama-sgd"},
	"llama-dynamo":  {"tiny-llama", "tiny-llama-sgd"},
}

// Ten steps from a file that torch.onnx.export or ONNX Runtime's tools wrote stay with TRL's from the model that was exported, by the same
// bars as TestTrainFollowsTRL.
func TestExportedFollowsTRL(t *testing.T) {
	pairs := golden.Testdata(t, "pref", "tiny.pairs.jsonl")
	for name, from := range exportedFiles {
		t.Run(name, func(t *testing.T) { followTRL(t, golden.Testdata(t, "exported", name+".onnx"), pairs, from.run) })
	}
	t.Run("our own for inference", func(t *testing.T) {
		out, _ := deploy(t, golden.Testdata(t, "models", "tiny-llama"), nil)
		followTRL(t, filepath.Join(out, models.InferenceModel), pairs, "tiny-llama-sgd")
	})
	t.Run("ort-tiny", func(t *testing.T) {
		dir := t.TempDir()
		copyFile(t, golden.Shared(t, "models/ort-tiny/tiny-random-gpt2-fp32/past.onnx"), filepath.Join(dir, "past.onnx"))
		for _, file := range []string{"tokenizer.json", "tokenizer_config.json"} {
			copyFile(t, golden.Testdata(t, "exported", file), filepath.Join(dir, file))
		}
		followTRL(t, filepath.Join(dir, "past.onnx"), pairs, "ort-tiny")
	})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// An exported model gives the log-probabilities of the one that it was exported from, whose prompts are shared.
func TestExportedScoresAsItsSource(t *testing.T) {
	for name, from := range exportedFiles {
		t.Run(name, func(t *testing.T) {
			var logps [2][]float64
			for i, path := range []string{golden.Testdata(t, "exported", name+".onnx"), golden.Testdata(t, "models", from.source)} {
				n, err := openFrozen(path, onnx.Float32, engine.Options{Threads: 1})
				if err != nil {
					t.Fatal(err)
				}
				defer n.close()
				groups := randomGroups(3, n.model.Vocab, 7, 12)
				if logps[i], err = n.logps(groups); err != nil {
					t.Fatal(err)
				}
			}
			for i, want := range logps[1] {
				if got := logps[0][i]; !(math.Abs(got-want) <= 1e-6*math.Abs(want)+1e-5) {
					t.Errorf("sequence %d: %v, its source gives %v", i, got, want)
				}
			}
		})
	}
}

// What export --for inference writes of a model of any architecture can be trained again: it scores as the model does, and has all its gradients.
func TestInferenceModelsAreTrainable(t *testing.T) {
	for _, dir := range inferred(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			out, _ := deploy(t, dir, nil)
			n, err := openAs(filepath.Join(out, models.InferenceModel), Export{Types: models.Types{Compute: onnx.Float32}, Rungs: artifact.Rungs}, engine.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer n.close()
			source, err := openFrozen(dir, onnx.Float32, engine.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer source.close()
			groups := randomGroups(2, n.model.Vocab, 5, 7)
			got, err := n.logps(groups)
			if err != nil {
				t.Fatal(err)
			}
			want, err := source.logps(groups)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if !(math.Abs(got[i]-want[i]) <= 1e-6*math.Abs(want[i])+2e-5) {
					t.Errorf("sequence %d: %v, its source gives %v", i, got[i], want[i])
				}
			}
		})
	}
}

// Of a model with a table of positions, rows are padded within the table; beyond it they are refused where they are read, which
// TestRowsBeyondThePositions holds.
func TestSequencesStayWithinPositions(t *testing.T) {
	groups := randomGroups(2, 320, 10, 22)
	for positions, want := range map[int]int64{0: 32, 31: 31, 100: 32} {
		if got := newSequences(groups, positions).Sizes["S"]; got != want {
			t.Errorf("of %d positions: %d tokens a sequence, want %d", positions, got, want)
		}
	}
	m := openModel(t, golden.Testdata(t, "exported", "gpt2-dynamo.onnx"))
	if m.Positions != 128 {
		t.Errorf("the table is found to have %d positions, it has 128", m.Positions)
	}
}

// A file's weights have the names, the shapes and the numbers of the model that was exported, whatever the exporter has made of them.
func TestExportedHasItsSourcesTensors(t *testing.T) {
	for name, from := range exportedFiles {
		t.Run(name, func(t *testing.T) {
			m, source := openModel(t, golden.Testdata(t, "exported", name+".onnx")), openModel(t, golden.Testdata(t, "models", from.source))
			if got, want := len(m.Tensors()), len(source.Tensors()); got != want {
				t.Errorf("%d tensors, its source has %d", got, want)
			}
			for _, tensor := range m.Tensors() {
				of := strings.TrimPrefix(tensor, "model.") // of the module that was exported, around the model
				if of == "lm_head.weight" {                // which is the embedding
					of = source.Stages()[0].Params[0].Tensor
				}
				want, err := source.Tensor(of)
				if err != nil {
					want, err = source.Tensor(tensor)
				}
				got, e := m.Tensor(tensor)
				if err != nil || e != nil || !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.Data, want.Data) {
					t.Errorf("tensor %s of %v is not its source's, of %v (%v, %v)", tensor, got.Shape, want.Shape, err, e)
				}
			}
		})
	}
}

// A model trained from a file is written back as one, whose logits are those of the weights that it was trained to: they open again with the
// numbers of the safetensors beside them.
func TestExportedIsWrittenBack(t *testing.T) {
	for name := range exportedFiles {
		t.Run(name, func(t *testing.T) {
			c, err := NewConfig("trl")
			if err != nil {
				t.Fatal(err)
			}
			c.Model, c.Data = golden.Testdata(t, "exported", name+".onnx"), []string{golden.Testdata(t, "pref", "tiny.pairs.jsonl")}
			c.Out, c.Steps, c.Batch, c.LR, c.SaveEvery = filepath.Join(t.TempDir(), "out"), 2, 4, 1e-3, 0
			mustTrain(t, c)
			before, after := openModel(t, c.Model), openModel(t, filepath.Join(c.Out, name+".onnx"))
			saved, err := safetensors.Open(filepath.Join(c.Out, "model.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer saved.Close()
			if !slices.Equal(after.Tensors(), before.Tensors()) {
				t.Fatalf("tensors %v, %v before", after.Tensors(), before.Tensors())
			}
			for _, tensor := range after.Tensors() {
				was, _ := before.Tensor(tensor)
				is, _ := after.Tensor(tensor)
				kept, err := saved.Tensor(tensor)
				if err != nil || !bytes.Equal(is.Data, kept.Data) || !slices.Equal(is.Shape, kept.Shape) || bytes.Equal(is.Data, was.Data) {
					t.Errorf("tensor %s of %v: in the file it is not as in the safetensors, or as before (%v)", tensor, is.Shape, err)
				}
			}
			ids := []int64{5, 17, 80, 200, 31, 7}
			n, err := openFrozen(after.Exported.Path, onnx.Float32, engine.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer n.close()
			x := datasets.Example{Prompt: []int32{5}, Completions: []datasets.Completion{{IDs: []int32{17, 80, 200, 31, 7}}}}
			got, err := n.logps([]datasets.Example{x})
			if err != nil {
				t.Fatal(err)
			}
			if want := logpOfFile(t, after.Exported.Path, ids, after.Vocab); math.Abs(got[0]-want) > 2e-5 {
				t.Errorf("log-probability %v, by the file itself %v", got[0], want)
			}
		})
	}
}

// The file keeps float32 where the safetensors beside it are narrower.
func TestExportedKeepsItsType(t *testing.T) {
	c := tinyConfig(t)
	c.Model, c.Data, c.Steps, c.SaveType = golden.Testdata(t, "exported", "gpt2-dynamo.onnx"), []string{golden.Testdata(t, "pref", "tiny.pairs.jsonl")}, 1, "bfloat16"
	mustTrain(t, c)
	m := openModel(t, filepath.Join(c.Out, "gpt2-dynamo.onnx"))
	f, err := safetensors.Open(filepath.Join(c.Out, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name := m.Tensors()[0]
	if x, err := f.Tensor(name); err != nil || x.DType != "BF16" || m.WeightType() != "F32" {
		t.Errorf("the safetensors are %s, the file %s (%v)", x.DType, m.WeightType(), err)
	}
}

func openModel(t *testing.T, path string) *models.Model {
	t.Helper()
	m, err := models.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// logpOfFile runs a file as it is, with ids [1,S] and nothing before them, and adds up the log-probabilities of all but the first.
func logpOfFile(t *testing.T, path string, ids []int64, vocab int) (sum float64) {
	t.Helper()
	g, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	S := int64(len(ids))
	sizes := map[string]int64{"batch": 1, "tokens": S, "batch_size": 1, "sequence_length": S, "past_sequence_length": 0}
	positions := make([]int64, S)
	for i := range positions {
		positions[i] = int64(i)
	}
	given := map[string]*onnx.Tensor{"input_ids": onnx.IntTensor(ids, 1, S), "position_ids": onnx.IntTensor(positions, 1, S),
		"attention_mask": onnx.IntTensor(slices.Repeat([]int64{1}, len(ids)), 1, S)}
	for _, in := range g.Inputs {
		if given[in.Name] != nil {
			continue
		}
		shape, err := in.Shape.Eval(sizes) // of a cache, which is empty
		if err != nil {
			t.Fatal(err)
		}
		given[in.Name] = &onnx.Tensor{Type: in.Type, Dims: shape}
	}
	logits := graphtest.Floats(t, graphtest.RunModel(t, readBytes(t, path), g, sizes, given)["logits"])
	for i, id := range ids[1:] {
		row, total := logits[i*vocab:(i+1)*vocab], 0.0
		for _, x := range row {
			total += math.Exp(x)
		}
		sum += row[id] - math.Log(total)
	}
	return sum
}
