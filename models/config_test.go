package models

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// small is a valid configuration in the old keys.
func small() map[string]any {
	return map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "vocab_size": 128, "hidden_size": 32,
		"intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
		"rms_norm_eps": 1e-5, "hidden_act": "silu", "max_position_embeddings": 64, "rope_theta": 10000.0,
		"tie_word_embeddings": true, "torch_dtype": "float32", "attention_dropout": 0.0, "use_cache": true,
	}
}

func describe(t *testing.T, change map[string]any) (Decoder, error) {
	t.Helper()
	fields := small()
	maps.Copy(fields, change)
	for k, v := range fields {
		if v == nil {
			delete(fields, k)
		}
	}
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	_, d, err := Describe(dir)
	return d, err
}

func TestDescribeReadsBothGenerationsOfKeys(t *testing.T) {
	old, err := describe(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := describe(t, map[string]any{"rope_theta": nil, "torch_dtype": nil, "dtype": "float32",
		"rope_parameters": map[string]any{"rope_type": "default", "rope_theta": 10000.0}})
	if err != nil {
		t.Fatal(err)
	}
	if len(old.Rope.InvFreq) != 4 || old.Rope.Theta != renewed.Rope.Theta || old.Rope.InvFreq[1] != renewed.Rope.InvFreq[1] {
		t.Errorf("rotary embeddings differ: %+v and %+v", old.Rope, renewed.Rope)
	}
	both, err := describe(t, map[string]any{"rope_scaling": map[string]any{"type": "linear", "factor": 4.0},
		"rope_parameters": map[string]any{"rope_type": "default", "rope_theta": 500.0}})
	if err != nil || both.Rope.Type != "linear" || both.Rope.Theta != 10000 {
		t.Errorf("rope_scaling does not come before rope_parameters: %+v (%v)", both.Rope, err)
	}
	if old.HeadDim != 8 || old.KVHeads != 2 || !old.Tied {
		t.Errorf("read %+v", old)
	}
}

func TestDescribeRefusesWhatItCannotServe(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]any
		want   string
	}{
		"architecture":      {map[string]any{"architectures": []string{"MambaForCausalLM"}}, "architecture MambaForCausalLM is not supported"},
		"no architecture":   {map[string]any{"architectures": nil}, "it must name one class"},
		"unknown field":     {map[string]any{"sliding_window": 128}, "unsupported field sliding_window"},
		"activation":        {map[string]any{"hidden_act": "relu"}, `hidden_act "relu" is not supported`},
		"no hidden size":    {map[string]any{"hidden_size": nil}, "hidden_size must be a positive integer"},
		"heads":             {map[string]any{"num_key_value_heads": 3}, "no multiple of num_key_value_heads"},
		"rope type":         {map[string]any{"rope_scaling": map[string]any{"type": "longrope", "factor": 2}}, "rope type longrope is supported of Phi-3 alone"},
		"rope factor":       {map[string]any{"rope_scaling": map[string]any{"type": "linear"}}, "rope factor"},
		"rope field":        {map[string]any{"rope_scaling": map[string]any{"type": "linear", "factor": 2, "beta_fast": 32}}, "rope field beta_fast"},
		"llama3 incomplete": {map[string]any{"rope_scaling": map[string]any{"rope_type": "llama3", "factor": 8}}, "llama3 needs"},
		"quantized":         {map[string]any{"quantization_config": map[string]any{"bits": 4}}, "unsupported field quantization_config"},
		"wrong kind":        {map[string]any{"num_hidden_layers": "two"}, "field num_hidden_layers"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := describe(t, c.change)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "config.json") {
				t.Errorf("error %v, want config.json and %q", err, c.want)
			}
		})
	}
}

func TestEmptyFieldsAskForNothing(t *testing.T) {
	if _, err := describe(t, map[string]any{"pruned_heads": map[string]any{}, "tf_legacy_loss": false}); err != nil {
		t.Error(err)
	}
}

func TestRopeScaling(t *testing.T) {
	base, err := describe(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	linear, err := describe(t, map[string]any{"rope_scaling": map[string]any{"type": "linear", "factor": 4.0}})
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range base.Rope.InvFreq {
		if linear.Rope.InvFreq[i] != w/4 {
			t.Errorf("linear scaling: frequency %d is %v, want %v", i, linear.Rope.InvFreq[i], w/4)
		}
	}
	dynamic, err := describe(t, map[string]any{"rope_scaling": map[string]any{"type": "dynamic", "factor": 2.0}})
	if err != nil {
		t.Fatal(err)
	}
	if got := dynamic.Rope.Frequencies(64); got[1] != base.Rope.InvFreq[1] {
		t.Errorf("dynamic scaling changes sequences of the trained length: %v", got)
	}
	trained, err := describe(t, map[string]any{"rope_scaling": map[string]any{"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 8}})
	if err != nil || trained.Rope.Trained != 64 {
		t.Errorf("dynamic scaling starts at %d tokens, transformers takes max_position_embeddings (%v)", trained.Rope.Trained, err)
	}
	theta := 10000 * math.Pow(2*128/64.0-1, 8.0/6)
	if got, want := dynamic.Rope.Frequencies(128)[1], math.Pow(theta, -2.0/8); math.Abs(got-want) > 1e-15 {
		t.Errorf("dynamic scaling at 128 tokens: frequency 1 is %v, want %v", got, want)
	}
	llama3, err := describe(t, map[string]any{"rope_theta": 500000.0, "rope_scaling": map[string]any{"rope_type": "llama3",
		"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}})
	if err != nil {
		t.Fatal(err)
	}
	plain := inverseFrequencies(500000, 8)
	if got := llama3.Rope.InvFreq; got[0] != plain[0] || got[3] != plain[3]/8 {
		t.Errorf("llama3 scaling: %v of %v", got, plain)
	}
}

func TestRotation(t *testing.T) {
	cos, sin := Rope{}.Rotation([]float64{1, 0.5}, 3, nil, nil)
	if cos[0] != math.Cos(3) || sin[1] != math.Sin(1.5) || len(cos) != 2 {
		t.Errorf("cos %v, sin %v", cos, sin)
	}
}
