package dpo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// architectureModels are tiny models of the architectures beside Llama, Mistral and Qwen: see scripts/golden/make_architectures.py.
var architectureModels = []string{
	"tiny-gpt2", "tiny-gptneox", "tiny-gptj", "tiny-gemma", "tiny-gemma2", "tiny-gemma3",
	"tiny-phi3", "tiny-phi3-long", "tiny-olmo2", "tiny-smollm3", "tiny-stablelm",
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
	equalTransformers(t, python, folders, sequence, got)
}

// equalTransformers holds the log-probabilities of a sequence by models in folders against transformers'.
func equalTransformers(t *testing.T, python string, folders []string, sequence []int32, got [][]float64) {
	t.Helper()
	names, err1 := json.Marshal(folders)
	ids, err2 := json.Marshal(sequence)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	run, faults := exec.Command(python, "-c", logProbsByTransformers, string(names), string(ids)), &bytes.Buffer{}
	run.Stderr = faults
	out, err := run.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, faults)
	}
	var want [][]float64
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i, dir := range folders {
		d := furthest(got[i], want[i])
		if t.Logf("%s: %.1e apart, of log-probabilities down to %.1f", filepath.Base(dir), d, slices.Min(want[i])); !(d <= 1e-5) {
			t.Errorf("%s: %.2e apart", filepath.Base(dir), d)
		}
	}
}

// otherSettings are configurations of tiny models with other fields; nil removes one.
var otherSettings = map[string]struct {
	model  string
	change map[string]any
}{
	"gpt2, unscaled":         {"tiny-gpt2", map[string]any{"scale_attn_weights": false, "n_inner": 24, "activation_function": "gelu"}},
	"gpt2, untied":           {"tiny-gpt2", map[string]any{"tie_word_embeddings": false}},
	"neox, one by one":       {"tiny-gptneox", map[string]any{"use_parallel_residual": false, "rotary_pct": 0.25, "attention_bias": false}},
	"neox, new keys":         {"tiny-gptneox", map[string]any{"rotary_pct": nil, "rotary_emb_base": nil, "rope_parameters": map[string]any{"rope_type": "default", "rope_theta": 500.5, "partial_rotary_factor": 0.75}}},
	"gptj, whole heads":      {"tiny-gptj", map[string]any{"rotary_dim": 8, "n_inner": nil}},
	"gemma, legacy":          {"tiny-gemma", map[string]any{"hidden_activation": "gelu_pytorch_tanh", "num_key_value_heads": 2, "attention_bias": true}},
	"gemma2, no caps":        {"tiny-gemma2", map[string]any{"attn_logit_softcapping": nil, "final_logit_softcapping": nil, "layer_types": []string{"full_attention", "sliding_attention"}}},
	"gemma3, old keys":       {"tiny-gemma3", map[string]any{"rope_parameters": nil, "layer_types": nil, "sliding_window_pattern": 2, "rope_theta": 3000.5, "rope_local_base_freq": 50.5, "rope_scaling": map[string]any{"rope_type": "linear", "factor": 2.5}, "final_logit_softcapping": 2.5}},
	"gemma3, no window":      {"tiny-gemma3", map[string]any{"layer_types": []string{"full_attention", "full_attention", "full_attention"}}},
	"phi3, all of all heads": {"tiny-phi3", map[string]any{"sliding_window": nil, "partial_rotary_factor": nil, "num_key_value_heads": nil, "tie_word_embeddings": true}},
	"phi3, long":             {"tiny-phi3", map[string]any{"original_max_position_embeddings": 20, "rope_scaling": map[string]any{"type": "longrope", "short_factor": []float64{1, 1.25, 1.5}, "long_factor": []float64{1.5, 3, 7}}}},
	"phi3, long but short":   {"tiny-phi3", map[string]any{"original_max_position_embeddings": 40, "rope_scaling": map[string]any{"type": "longrope", "short_factor": []float64{1, 1.25, 1.5}, "long_factor": []float64{1.5, 3, 7}}}},
	"olmo2, biases":          {"tiny-olmo2", map[string]any{"attention_bias": true, "num_key_value_heads": nil}},
	"smollm3, windows":       {"tiny-smollm3", map[string]any{"no_rope_layers": nil, "no_rope_layer_interval": 2, "use_sliding_window": true, "sliding_window": 6}},
	"stablelm, parallel":     {"tiny-stablelm", map[string]any{"use_parallel_residual": true, "use_qkv_bias": false, "num_key_value_heads": 2}},
	"llama, gelu":            {"tiny-llama", map[string]any{"hidden_act": "gelu_new"}},
}

// Other settings of each architecture give transformers' log-probabilities, too, to 1e-5 a token, with weights drawn here.
func TestTransformersAgreesOnVariants(t *testing.T) {
	python := golden.Peers(t)
	sequence := randomGroups(1, 320, 1, 30)[0].Completions[0].IDs
	var folders []string
	var got [][]float64
	for name, v := range otherSettings {
		dir := filepath.Join(t.TempDir(), name)
		if err := models.WriteInitial(dir, changedConfig(t, v.model, v.change), golden.Testdata(t, "models", v.model), 3); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := models.WriteWeights(dir, 3, 0.3); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		folders = append(folders, dir)
		got = append(got, tokenLogProbs(t, dir, sequence))
	}
	equalTransformers(t, python, folders, sequence, got)
}

// changedConfig writes a tiny model's config.json with other fields.
func changedConfig(t *testing.T, model string, change map[string]any) string {
	t.Helper()
	fields := map[string]json.RawMessage{}
	golden.JSON(t, golden.Testdata(t, "models", model, "config.json"), &fields)
	for name, value := range change {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if fields[name] = text; value == nil && !strings.HasSuffix(name, "_softcapping") { // whose absence is another number
			delete(fields, name)
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A checkpoint of GPT-2 whose tensors lack the backbone's name, with the causal masks that old versions kept beside them, is the same model.
func TestBareNamesAreTheBackbones(t *testing.T) {
	from := golden.Testdata(t, "models", "tiny-gpt2")
	m, err := models.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	entries := []safetensors.Entry{{Name: "h.0.attn.bias", DType: "U8", Shape: []int64{1, 1, 2, 2}, Data: []byte{1, 0, 1, 1}}}
	for _, name := range m.Tensors() {
		w, err := m.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, safetensors.Entry{Name: strings.TrimPrefix(name, "transformer."), DType: w.DType, Shape: w.Shape, Data: w.Data})
	}
	if err := safetensors.Write(filepath.Join(dir, "model.safetensors"), entries, nil); err != nil {
		t.Fatal(err)
	}
	sequence := randomGroups(1, 320, 1, 30)[0].Completions[0].IDs
	if a, b := tokenLogProbs(t, from, sequence), tokenLogProbs(t, dir, sequence); !slices.Equal(a, b) {
		t.Errorf("log-probabilities %v, under whole names %v", b, a)
	}
	reward := filepath.Join(t.TempDir(), "reward")
	if err := models.WriteReward(reward, dir, 1); err != nil {
		t.Fatal(err)
	}
}

// A row longer than the table of positions is refused before the first step, with its file and row; scoring, the other rows are scored. One that the
// table just holds is used, and so is a longer one that --max-length cuts.
func TestRowsBeyondThePositions(t *testing.T) {
	c := tinyConfig(t)
	c.Model = golden.Testdata(t, "models", "tiny-gpt2")
	rows := func(lengths ...int) string {
		var text strings.Builder
		for _, n := range lengths {
			fmt.Fprintf(&text, `{"prompt": "a", "chosen": "%s", "rejected": "b"}`+"\n", strings.Repeat("7", n))
		}
		file := filepath.Join(t.TempDir(), "long.jsonl")
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	// A digit is a token. Beside them are BOS and the prompt, and EOS, the last, which needs no position.
	const most = 126
	file := rows(3, most, most+1)
	c.Data, c.Steps, c.Batch, c.Out = []string{file}, 1, 3, filepath.Join(t.TempDir(), "out")
	want := "it needs 129 positions, and the model's table has 128: set --max-length to that, or less"
	if _, err := train(t, c, false, nil); err == nil || !strings.Contains(err.Error(), "row 2 of "+file+": "+want) {
		t.Errorf("error %v, want %s", err, want)
	}
	if _, err := os.Stat(filepath.Join(c.Out, runFolder)); err == nil {
		t.Error("the run has begun")
	}
	c.MaxLength, c.MaxPromptLength = 128, 64
	if steps := mustTrain(t, c); steps[0].RowsTruncated != 2 {
		t.Errorf("cut at 128: %+v", steps[0])
	}
	s, err := NewScorer(ScoreConfig{Model: c.Model, Beta: 0.1, Truncate: "prompt", EOS: "add", Device: "cpu"}, loadTokenizer(t, c.Model))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var groups []datasets.Group
	for g, err := range datasets.Read([]string{file}, datasets.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	scores, err := s.Score(groups)
	if err != nil || scores[0].Err != nil || scores[1].Err != nil || scores[2].Err == nil || scores[2].Err.Error() != want {
		t.Errorf("%v: %+v, want %s", err, scores, want)
	}
}

// A sequence longer than the table of positions is refused, and says what to set.
func TestSequencesBeyondThePositions(t *testing.T) {
	n, err := openFrozen(golden.Testdata(t, "models", "tiny-gpt2"), onnx.Float32, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	if _, err := n.logps(randomGroups(1, 320, 100, 29)); err != nil { // the last token needs no row of its own
		t.Error(err)
	}
	if _, err := n.logps(randomGroups(1, 320, 100, 30)); err == nil || !strings.Contains(err.Error(), "the model knows 128 positions: set max-length") {
		t.Errorf("error %v", err)
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

// Every architecture's weights are scored as they lie in their file, in half precision as in float32: as the same numbers in float32 are.
func TestHalfPrecisionWeightsAreScored(t *testing.T) {
	for _, name := range names(t, golden.Testdata(t, "models")) {
		for _, kind := range []string{"bfloat16", "float16"} {
			t.Run(name+" in "+kind, func(t *testing.T) {
				m := openModel(t, golden.Testdata(t, "models", name))
				half := savedAs(t, m, kind, nil)
				var logps [2][]float64
				for i, weights := range []onnx.DType{0, onnx.Float32} { // as they lie in the file, and cast as they are loaded
					n, err := openAs(half, Export{Types: models.Types{Compute: onnx.Float32, Weights: weights}}, engine.Options{Threads: 1})
					if err != nil {
						t.Fatal(err)
					}
					defer n.close()
					if logps[i], err = n.logps(randomGroups(2, n.model.Vocab, 6, 9)); err != nil {
						t.Fatal(err)
					}
				}
				for i, want := range logps[1] {
					if got := logps[0][i]; !(math.Abs(got-want) <= 1e-6*math.Abs(want)) {
						t.Errorf("sequence %d: %v, in float32 %v", i, got, want)
					}
				}
			})
		}
	}
}

// savedAs writes a model with its weights in another type, after change of each tensor's numbers (nil for none), and gives the folder.
func savedAs(t *testing.T, m *models.Model, kind string, change func(name string, shape []int64, w []float32)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "saved")
	_, err := m.Save(dir, kind, func(name string) ([]byte, error) {
		x, err := m.Tensor(name)
		if err != nil {
			return nil, err
		}
		w := make([]float32, m.Elements([]string{name}))
		if err := safetensors.Decode(x, w); err != nil {
			return nil, err
		}
		if change != nil {
			change(name, x.Shape, w)
		}
		data := make([]byte, 4*len(w))
		return data, safetensors.Encode(w, "F32", data)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
