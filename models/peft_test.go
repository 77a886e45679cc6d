package models

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// newAdapter makes one of tiny-llama.
func newAdapter(t *testing.T, spec AdapterSpec) string {
	t.Helper()
	return newAdapterOf(t, "tiny-llama", spec)
}

func newAdapterOf(t *testing.T, base string, spec AdapterSpec) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "adapter")
	if err := WriteAdapter(dir, golden.Testdata(t, "models", base), spec, 1); err != nil {
		t.Fatal(err)
	}
	return dir
}

var plain = AdapterSpec{Rank: 2, Alpha: 4, Targets: []string{AllLinear}}

// change rewrites a file of a folder.
func change(t *testing.T, dir, name, from, to string) {
	t.Helper()
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), from, to, 1)
	if changed == string(text) {
		t.Fatalf("%s does not hold %q: %s", name, from, text)
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What would change the numbers and is not built is refused by the field's name.
func TestAdapterConfigurationsAreRefusedByName(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{`"LORA"`, `"IA3"`, `field peft_type is "IA3": LORA is supported`},
		{`"none"`, `"all"`, `field bias is "all": none is supported`},
		{`"r": 2`, `"r": 0`, "field r must be a positive integer, it is 0"},
		{`"r": 2`, `"r": 3`, "has shape [2 64], adapter_config.json asks for rank 3"},
		{`"r": 2`, `"r": 2, "rank_pattern": {"o_proj": 1}`, "has shape [2 32], adapter_config.json asks for rank 1"},
		{`"r": 2`, `"r": 2, "rank_pattern": {"(?=q)q_proj": 2}`, `field rank_pattern is {"(?=q)q_proj": 2}: an object of numbers by expressions for modules (of RE2's kind) is needed`},
		{`"r": 2`, `"r": 2, "rank_pattern": ["q_proj"]`, `field rank_pattern is ["q_proj"]`},
		{`"r": 2`, `"r": 2, "alpha_pattern": {"q_proj": 0}`, `field alpha_pattern has 0 for "q_proj": it must be positive`},
		{`"modules_to_save": null`, `"modules_to_save": ["lm_head"]`, "unsupported field modules_to_save"},
		{`"fan_in_fan_out": false`, `"lora_bias": true`, "unsupported field lora_bias"},
		{`"init_lora_weights": true`, `"init_lora_weights": "pissa"`, `field init_lora_weights is "pissa", which changes the base's weights`},
		{`"base_model_name_or_path": "`, `"base_model_name_or_path": "x`, "is no model's folder here: set base_model_name_or_path to that folder"},
		{`"base_model_name_or_path": "`, `"base": "`, "unsupported field base"},
		{`"lora_alpha": 4`, `"lora_alpha": -1`, "lora_alpha"},
	} {
		dir := newAdapter(t, plain)
		change(t, dir, adapterConfigName, c.from, c.to)
		m, err := Open(dir)
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.to, err, c.want)
		}
	}
}

// An adapter of another base is refused: of another shape by the tensor, of the same shape by what this program wrote down of it.
func TestAdapterOfAnotherBaseIsRefused(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	if err := WriteInitial(other, golden.Testdata(t, "models", "tiny-llama"), "", 5); err != nil {
		t.Fatal(err)
	}
	for base, want := range map[string]string{
		other: "it was trained on another base than " + other + ", of the same shape",
		golden.Testdata(t, "models", "tiny-qwen3"): "its base asks for",
	} {
		dir := newAdapter(t, plain)
		change(t, dir, adapterConfigName, golden.Testdata(t, "models", "tiny-llama"), base)
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("on %s: error %v, want %s", base, err, want)
		}
	}
}

// Tensors that belong to no LoRA adapter are refused, and those that are lacking.
func TestAdapterWeightsAreChecked(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"layers.1.mlp.up_proj.lora_B.weight", "layers.7.mlp.up_proj.lora_B.weight", "is missing; tensor base_model.model.model.layers.7.mlp.up_proj.lora_B.weight is no part"},
		{"layers.1.mlp.up_proj.lora_A.weight", "layers.1.mlp.up_prox.lora_A.weight", "it changes model.layers.1.mlp.up_prox, which its base has not"},
	} {
		dir := newAdapter(t, plain)
		change(t, dir, adapterWeightsName, c.from, c.to)
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.to, err, c.want)
		}
	}
	dir := newAdapter(t, plain)
	if err := os.Remove(filepath.Join(dir, adapterWeightsName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "safe_serialization") {
		t.Errorf("without weights: %v", err)
	}
}

// Targets are ends of names, expressions for whole names, or all products of layers.
func TestTargets(t *testing.T) {
	_, d, err := Describe(golden.Testdata(t, "models", "tiny-llama"))
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]int{"q_proj": 2, "self_attn.q_proj": 2, "lm_head": 1, "embed_tokens": 1, AllLinear: 14,
		`.*layers\.0\..*proj`: 7, "model.layers.1.mlp.up_proj": 1, "input_layernorm": 0, "q_pro": 0, "(": 0, "norm": 0} {
		modules, passed := d.Targets([]string{target})
		if len(modules) != want || (passed == nil) != (want > 0) {
			t.Errorf("%s names %v (passed over %q), want %d", target, modules, passed, want)
		}
	}
	if modules, passed := d.Targets([]string{"q_porj", "v_proj", "(", "o_proj"}); len(modules) != 4 || !slices.Equal(passed, []string{"q_porj", "("}) {
		t.Errorf("two names that are of no module beside two that are: %v, passed over %q", modules, passed)
	}
	if modules, _ := d.Targets([]string{"q_proj", AllLinear}); len(modules) != 14 {
		t.Errorf("a module that is named twice is there twice: %v", modules)
	}
}

// A new adapter changes nothing: B is zero, of the embedding A, and magnitudes are the rows' norms; the same seed gives the same.
func TestNewAdaptersChangeNothing(t *testing.T) {
	for _, c := range []struct {
		base, table string
		dora        bool
	}{{"tiny-llama", "embed_tokens", false}, {"tiny-llama", "embed_tokens", true}, {"tiny-gpt2", "wte", false}, {"tiny-gpt2", "wte", true}} {
		spec := AdapterSpec{Rank: 2, Alpha: 4, DoRA: c.dora, Targets: []string{AllLinear, "lm_head"}}
		if !c.dora {
			spec.Targets = append(spec.Targets, c.table)
		}
		dir := newAdapterOf(t, c.base, spec)
		merged := filepath.Join(t.TempDir(), "merged")
		if err := WriteMerged(merged, dir, "float32"); err != nil {
			t.Fatal(err)
		}
		base, err := Open(golden.Testdata(t, "models", c.base))
		if err != nil {
			t.Fatal(err)
		}
		defer base.Close()
		m, err := Open(merged)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if m.Tied {
			t.Error("the merged model of a changed head is tied")
		}
		for _, name := range base.Tensors() {
			if apart := furthestApart(t, base.Weights, m.Weights, name); apart > 1e-7 {
				t.Errorf("%s, DoRA %v: %s has moved by %v", c.base, c.dora, name, apart)
			}
		}
		a, err := os.ReadFile(filepath.Join(dir, adapterWeightsName))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(newAdapterOf(t, c.base, spec), adapterWeightsName)); err != nil || string(a) != string(b) {
			t.Errorf("the same seed gives another adapter (%v)", err)
		}
	}
}

// furthestApart is the largest difference of two models' tensors of a name.
func furthestApart(t *testing.T, a, b checkpoint, name string) (most float64) {
	t.Helper()
	var values [2][]float32
	for i, m := range []checkpoint{a, b} {
		tensor, err := m.Tensor(name)
		if err == nil {
			values[i], err = decoded(tensor)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, x := range values[0] {
		most = max(most, float64(x-values[1][i]), float64(values[1][i]-x))
	}
	return most
}

// The configuration names each module that the weights change: of a list with all-linear or an expression in it PEFT would take none, in silence.
func TestConfigurationNamesTheModules(t *testing.T) {
	dir := newAdapter(t, AdapterSpec{Rank: 1, Alpha: 1, Targets: []string{`.*\.1\.mlp\..*`, "lm_head"}})
	c, err := readAdapter(dir)
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	want := []string{"lm_head", "model.layers.1.mlp.down_proj", "model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj"}
	if c.read("target_modules", &named); !slices.Equal(named, want) {
		t.Errorf("target_modules is %v, want %v", named, want)
	}
}

// Of patterns that are of one module the first in the file counts, and those of no module are passed over and told of, as in PEFT 0.21
// (get_pattern_key, and its warning).
func TestAdapterPatterns(t *testing.T) {
	dir := newAdapter(t, plain)
	change(t, dir, adapterConfigName, `"r": 2`, `"r": 2, "alpha_pattern": {"layers.1.self_attn.q_proj": 6, "[qv]_proj": 8, "q_proj": 10, "proj": 12, "mlp..*_proj": 14, "model": 16}, "rank_pattern": {"x_proj": 7}`)
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for module, alpha := range map[string]float64{
		"layers.0.self_attn.q_proj": 8, "layers.1.self_attn.q_proj": 6, "layers.1.self_attn.v_proj": 8, "layers.0.self_attn.k_proj": 4, "layers.0.mlp.up_proj": 14,
	} {
		if got := m.Adapter.Modules["model."+module].Scale; got != alpha/2 {
			t.Errorf("%s is scaled by %v, want %v", module, got, alpha/2)
		}
	}
	if want := []string{"x_proj of rank_pattern", "proj of alpha_pattern", "model of alpha_pattern"}; !slices.Equal(m.PassedOver, want) {
		t.Errorf("passed over %q, want %q", m.PassedOver, want)
	}
}
