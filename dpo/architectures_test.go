package dpo

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// architectureModels are tiny models of the architectures beside Llama, Mistral and Qwen: see scripts/golden/make_architectures.py.
var architectureModels = []string{
	"tiny-gpt2", "tiny-gptneox", "tiny-gptj", "tiny-gemma", "tiny-gemma2", "tiny-gemma3",
	"tiny-phi3", "tiny-olmo2", "tiny-smollm3", "tiny-stablelm",
}

// logProbsByTransformers prints, of each folder, what its model gives a sequence of token ids, and fails where a tensor is missing or left over.
const logProbsByTransformers = `
import json, sys, torch
from transformers import AutoModelForCausalLM
out = []
for directory in json.loads(sys.argv[1]):
    model, info = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    assert not any(info.values()), (directory, info)
    ids = torch.tensor([json.loads(sys.argv[2])])
    with torch.no_grad():
        out.append(model(input_ids=ids, use_cache=False).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0].tolist())
print(json.dumps(out))`

// What a run leaves of each architecture opens in transformers, with no tensor missing or left over, and gives the same log-probabilities, to 1e-5
// a token.
func TestTransformersOpensArchitectures(t *testing.T) {
	python := golden.Peers(t)
	sequence := randomGroups(1, 320, 1, 30)[0].Completions[0].IDs
	var folders []string
	var got [][]float64
	for _, model := range architectureModels {
		c := tinyConfig(t)
		c.Model, c.Steps, c.LR = golden.Testdata(t, "models", model), 2, 1e-2
		c.Out = filepath.Join(t.TempDir(), model)
		mustTrain(t, c)
		folders = append(folders, c.Out)
		got = append(got, tokenLogProbs(t, c.Out, sequence))
		if before := tokenLogProbs(t, c.Model, sequence); furthest(before, got[len(got)-1]) < 1e-2 {
			t.Errorf("%s: training changed no log-probability by 1e-2", model)
		}
	}
	names, err1 := json.Marshal(folders)
	ids, err2 := json.Marshal(sequence)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	out, err := exec.Command(python, "-c", logProbsByTransformers, string(names), string(ids)).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var want [][]float64
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i, model := range architectureModels {
		d := furthest(got[i], want[i])
		if t.Logf("%s: %.1e apart, of log-probabilities down to %.1f", model, d, slices.Min(want[i])); !(d <= 1e-5) {
			t.Errorf("%s: %.2e apart", model, d)
		}
	}
}

// tokenLogProbs are those of each token of a sequence but the first.
func tokenLogProbs(t *testing.T, dir string, sequence []int32) []float64 {
	t.Helper()
	n, err := openFrozen(dir, onnx.Float32, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	x := randomGroups(1, 320, 1, len(sequence)-1)[0]
	x.Prompt, x.Completions = sequence[:1], x.Completions[:1]
	x.Completions[0].IDs, x.Completions[0].Start = sequence[1:], 0
	pass, err := n.engine.Score(n.weights, n.batch([]datasets.Example{x}))
	if err != nil {
		t.Fatal(err)
	}
	return pass.TokenLogProbs
}
