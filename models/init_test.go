package models

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// initial writes random weights for a configuration, and opens them.
func initial(t *testing.T, config, tokenizer string, seed int64) *Model {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "initial")
	if err := WriteInitial(dir, config, tokenizer, seed); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

func open(t *testing.T, dir string) *Model {
	t.Helper()
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func elementsOf(t *testing.T, m *Model, name string) []float32 {
	t.Helper()
	of, err := m.Weights.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(of.Data)/map[string]int{"F32": 4, "BF16": 2, "F16": 2}[of.DType])
	if err := safetensors.Decode(of, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// withField writes a model's config.json with another field, into a folder of its own.
func withField(t *testing.T, model, name string, value any) string {
	t.Helper()
	c, err := ReadConfig(golden.Testdata(t, "models", model))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.json")
	if err := c.write(path, map[string]any{name: value}); err != nil {
		t.Fatal(err)
	}
	return path
}

// Random weights are transformers': matrices normal with initializer_range, 0.02 where there is none, norms 1, biases 0. Bars are four
// standard errors.
func TestInitialWeights(t *testing.T) {
	tokenizer := golden.Testdata(t, "models", "tiny-llama")
	for want, config := range map[float64]string{0.02: golden.Testdata(t, "models", "tiny-llama-untied"), 0.1: withField(t, "tiny-qwen3", "initializer_range", 0.1)} {
		m := initial(t, config, tokenizer, 3)
		for _, name := range m.Tensors() {
			var sum, squares float64
			values := elementsOf(t, m, name)
			for _, x := range values {
				sum += float64(x)
				squares += float64(x) * float64(x)
			}
			n := float64(len(values))
			mean, deviation := sum/n, math.Sqrt(squares/n)
			switch {
			case strings.HasSuffix(name, "norm.weight"):
				if mean != 1 || deviation != 1 {
					t.Errorf("norm %s has mean %v", name, mean)
				}
			case strings.HasSuffix(name, ".bias"):
				if squares != 0 {
					t.Errorf("bias %s is not 0", name)
				}
			case math.Abs(mean) > 4*want/math.Sqrt(n) || math.Abs(deviation-want) > 4*want/math.Sqrt(2*n):
				t.Errorf("%s: mean %v, deviation %v, want 0 and %v", name, mean, deviation, want)
			}
		}
	}
}

// A seed gives the same bytes, another seed others; a tokenizer.json alone is enough, and dtype is what is written.
func TestInitialIsOfItsSeed(t *testing.T) {
	config := golden.Testdata(t, "models", "tiny-llama-bf16", "config.json")
	read := func(m *Model, name string) []byte {
		data, err := os.ReadFile(filepath.Join(m.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	a, b := initial(t, config, "", 1), initial(t, config, golden.Testdata(t, "models", "tiny-llama", "tokenizer.json"), 1)
	other := initial(t, config, "", 2)
	if !bytes.Equal(read(a, "model.safetensors"), read(b, "model.safetensors")) || bytes.Equal(read(a, "model.safetensors"), read(other, "model.safetensors")) {
		t.Error("weights are not of their seed")
	}
	if !bytes.Equal(read(a, "tokenizer.json"), read(b, "tokenizer.json")) || a.WeightType() != "F32" || !bytes.Contains(read(a, "config.json"), []byte(`"dtype": "float32"`)) {
		t.Errorf("type %s, config %s", a.WeightType(), read(a, "config.json"))
	}
	if _, err := os.Stat(filepath.Join(b.Dir, "tokenizer_config.json")); err == nil {
		t.Error("a file beside the tokenizer.json was taken")
	}
}

func TestInitialRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "initial")
	tokenizer := golden.Testdata(t, "models", "tiny-llama")
	for want, config := range map[string]string{
		"hidden_size must be a positive integer": withField(t, "tiny-llama", "hidden_size", -1),
		"no such file":                           filepath.Join(tokenizer, "nowhere.json"),
		"is not supported":                       withField(t, "tiny-llama", "architectures", []string{"MambaForCausalLM"}),
		"begins as a language model":             filepath.Join(rewardOf(t, "tiny-llama"), "config.json"),
	} {
		if err := WriteInitial(dir, config, tokenizer, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("something was written")
	}
}

func rewardOf(t *testing.T, model string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "reward")
	if err := WriteReward(dir, golden.Testdata(t, "models", model), 4); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A reward model is the backbone to the bit, in its type, and a head; its configuration has one label.
func TestWriteReward(t *testing.T) {
	for _, model := range []string{"tiny-llama", "tiny-llama-bf16", "tiny-llama-sharded", "tiny-qwen3"} {
		from, m := open(t, golden.Testdata(t, "models", model)), open(t, rewardOf(t, model))
		if !m.Scalar || m.Pad != 2 || m.Architecture != rewardClass(from.Architecture) || m.WeightType() != from.WeightType() {
			t.Errorf("%s: %s, scalar %v, pad %d, type %s", model, m.Architecture, m.Scalar, m.Pad, m.WeightType())
		}
		heads := 0
		for _, name := range m.Tensors() {
			before, err := from.Weights.Tensor(name)
			if err != nil {
				heads++
				continue
			}
			if after, _ := m.Weights.Tensor(name); !bytes.Equal(before.Data, after.Data) {
				t.Errorf("%s: %s differs", model, name)
			}
		}
		if head := elementsOf(t, m, scoreTensor); heads != 1 || len(head) != m.Hidden || head[0] == 0 {
			t.Errorf("%s: %d tensors are new, the head has %d", model, heads, len(head))
		}
		var config struct {
			ID2Label map[string]string
		}
		data, err := os.ReadFile(filepath.Join(m.Dir, "config.json"))
		if err != nil || json.Unmarshal(data, &config) != nil || len(config.ID2Label) != 1 {
			t.Errorf("%s: %v, labels %v", model, err, config.ID2Label)
		}
	}
}

// A classifier of more than one label is no reward model; where config.json says nothing there are two, as in transformers.
func TestRewardModelHasOneLabel(t *testing.T) {
	for want, change := range map[string]map[string]any{
		"num_labels is 2": {"id2label": nil, "label2id": nil},
		"num_labels is 3": {"id2label": map[string]string{"0": "a", "1": "b", "2": "c"}},
		"num_labels is 5": {"id2label": nil, "num_labels": 5},
	} {
		dir := rewardOf(t, "tiny-llama")
		c, err := ReadConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.write(filepath.Join(dir, "config.json"), change); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), want+": a reward model has one") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if err := WriteReward(filepath.Join(t.TempDir(), "again"), rewardOf(t, "tiny-llama"), 0); err == nil || !strings.Contains(err.Error(), "is one") {
		t.Errorf("a reward model of a reward model: error %v", err)
	}
}
