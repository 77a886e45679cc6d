package models

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// shapedLike is a tiny model's configuration with other fields, read.
func shapedLike(t *testing.T, model string, change map[string]any) (Decoder, error) {
	t.Helper()
	c, err := ReadConfig(golden.Testdata(t, "models", model))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := c.write(filepath.Join(dir, configName), change); err != nil {
		t.Fatal(err)
	}
	_, d, err := Describe(dir)
	return d, err
}

// What an architecture cannot do is refused by name.
func TestArchitecturesRefuseByName(t *testing.T) {
	for _, c := range []struct {
		model  string
		change map[string]any
		want   string
	}{
		{"tiny-gpt2", map[string]any{"add_cross_attention": true}, "unsupported field add_cross_attention"},
		{"tiny-gpt2", map[string]any{"scale_attn_by_inverse_layer_idx": true}, "unsupported field scale_attn_by_inverse_layer_idx"},
		{"tiny-gpt2", map[string]any{"n_positions": 0}, "field n_positions must be a positive integer"},
		{"tiny-gpt2", map[string]any{"activation_function": "relu"}, `activation_function "relu" is not supported (gelu, gelu_new, gelu_pytorch_tanh, silu are)`},
		{"tiny-gptneox", map[string]any{"rotary_pct": 1.5}, "partial_rotary_factor 1.5 is not supported"},
		{"tiny-gptneox", map[string]any{"rotary_pct": 0.4}, "rotary embeddings are to turn 3 of a head's 8 entries"},
		{"tiny-gptj", map[string]any{"rotary_dim": 10}, "rotary embeddings are to turn 10 of a head's 8 entries"},
		{"tiny-gptj", map[string]any{"rotary_dim": 1 << 30}, "field rotary_dim is 1073741824, more than"},
		{"tiny-gemma", map[string]any{"use_bidirectional_attention": true}, "unsupported field use_bidirectional_attention"},
		{"tiny-gemma2", map[string]any{"query_pre_attn_scalar": -1}, "query_pre_attn_scalar must be a positive number"},
		{"tiny-gemma3", map[string]any{"attn_logit_softcapping": 50}, "unsupported field attn_logit_softcapping"},
		{"tiny-gemma3", map[string]any{"rope_parameters": map[string]any{"rope_type": "default"}}, "rope_type is no kind of layers"},
		{"tiny-phi3", map[string]any{"rope_scaling": map[string]any{"type": "longrope", "long_factor": []int{1}}}, "rope field short_factor holds 0 numbers: longrope needs 3"},
		{"tiny-phi3", map[string]any{"rope_scaling": map[string]any{"type": "yarn", "factor": 2}}, "rope field short_factor holds 0 numbers: longrope needs 3"},
		{"tiny-smollm3", map[string]any{"no_rope_layers": []int{1}}, "field no_rope_layers names 1 layers"},
		{"tiny-stablelm", map[string]any{"qk_layernorm": true}, "unsupported field qk_layernorm"},
		{"tiny-llama", map[string]any{"architectures": []string{"OlmoeForCausalLM"}, "num_experts": 64}, "is a mixture of experts (num_experts is 64)"},
	} {
		if _, err := shapedLike(t, c.model, c.change); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %v: error %v, want %s", c.model, c.change, err, c.want)
		}
	}
}

// Which layers see a window, and which know no positions, is what transformers 5.23 makes of fields that are absent.
func TestDefaultsByLayer(t *testing.T) {
	alternate := []bool{true, false, true, false, true, false, true}
	for _, c := range []struct {
		model           string
		change          map[string]any
		local, unturned []bool
		window          int
	}{
		{"tiny-gemma2", nil, alternate, nil, 5},
		{"tiny-gemma2", map[string]any{"sliding_window": nil}, alternate, nil, 4096},
		{"tiny-gemma3", map[string]any{"layer_types": nil}, []bool{true, true, true, true, true, false, true}, nil, 5},
		{"tiny-phi3", nil, slices.Repeat([]bool{true}, 7), nil, 7},
		{"tiny-phi3", map[string]any{"sliding_window": nil}, nil, nil, 0},
		{"tiny-smollm3", map[string]any{"no_rope_layers": nil}, nil, []bool{false, false, false, true, false, false, false}, 0},
		{"tiny-smollm3", map[string]any{"no_rope_layers": nil, "use_sliding_window": true, "sliding_window": 6},
			[]bool{false, false, false, true, false, false, false}, []bool{false, false, false, true, false, false, false}, 6},
		{"tiny-smollm3", map[string]any{"no_rope_layers": []int{1, 1, 1, 1, 1, 1, 1}}, nil, nil, 0},
	} {
		change := map[string]any{"num_hidden_layers": 7}
		maps.Copy(change, c.change)
		d, err := shapedLike(t, c.model, change)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(d.Local, c.local) || !slices.Equal(d.Unturned, c.unturned) || d.Window != c.window {
			t.Errorf("%s with %v: local %v, unturned %v, window %d; want %v, %v, %d", c.model, c.change, d.Local, d.Unturned, d.Window, c.local, c.unturned, c.window)
		}
	}
}

// Every value of the graphs of every architecture has a known type and shape.
func TestArchitecturesHaveKnownShapes(t *testing.T) {
	sizes := map[string]int64{"T": 11, "G": 2, "K": 2, "P": 16, "C": 32, "R": 7, "B": 64, "p": 4, "c": 8, "N": 4, "S": 48}
	folders, err := filepath.Glob(golden.Testdata(t, "models") + "/*")
	if err != nil || len(folders) < 10 {
		t.Fatal(folders, err)
	}
	for _, dir := range folders {
		_, d, err := Describe(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, compute := range []onnx.DType{onnx.Float32, onnx.Float64} {
			t.Run(filepath.Base(dir)+"/"+compute.String(), func(t *testing.T) { checkShapes(t, d, compute, sizes) })
		}
	}
}

// The rule that erf is computed by in float64 is the library's erf, to 2e-15.
func TestErfByQuadrature(t *testing.T) {
	at, weights := gaussLegendre(erfNodes)
	worst := 0.0
	for x := -erfEnd; x <= erfEnd; x += 1.0 / 64 {
		sum := 0.0
		for i := range at {
			sum += weights[i] * math.Exp(-x*x*at[i]*at[i])
		}
		worst = math.Max(worst, math.Abs(x*2/math.Sqrt(math.Pi)*sum-math.Erf(x)))
	}
	if t.Logf("largest error %.1e", worst); worst > 2e-15 || math.Erf(erfEnd) != 1 {
		t.Errorf("error %.1e; erf(%v) is %v", worst, erfEnd, math.Erf(erfEnd))
	}
}

// Norms begin as the identity: with ones, or with zeros where they are added to 1.
func TestInitialNorms(t *testing.T) {
	for model, want := range map[string]struct {
		tensor string
		value  float32
	}{"tiny-gpt2": {"transformer.h.0.ln_1.weight", 1}, "tiny-gemma": {"model.layers.0.input_layernorm.weight", 0}} {
		dir := filepath.Join(t.TempDir(), model)
		if err := WriteInitial(dir, golden.Testdata(t, "models", model), "", 1); err != nil {
			t.Fatal(err)
		}
		m, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		w, err := m.Tensor(want.tensor)
		if err != nil {
			t.Fatal(err)
		}
		if values, err := decoded(w); err != nil || values[0] != want.value || slices.Max(values) != slices.Min(values) {
			t.Errorf("%s begins with %v (%v), want %v", want.tensor, values, err, want.value)
		}
		m.Close()
	}
}

// A survey of a configuration says of each field whether it is read, passed by or refused.
func TestSurveyConfig(t *testing.T) {
	c, err := ReadConfig(golden.Testdata(t, "models", "tiny-gpt2"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := c.write(filepath.Join(dir, configName), map[string]any{"add_cross_attention": true, "activation_function": "relu"}); err != nil {
		t.Fatal(err)
	}
	got, err := SurveyConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := ConfigSurvey{"GPT2LMHeadModel", "GPT-2",
		[]string{"activation_function", "layer_norm_epsilon", "n_embd", "n_head", "n_layer", "n_positions", "vocab_size"},
		[]string{"architectures", "attn_pdrop", "bos_token_id", "embd_pdrop", "eos_token_id", "initializer_range", "model_type", "n_ctx", "pad_token_id", "resid_pdrop", "summary_type"},
		nil}
	refused := []string{"activation_function \"relu\" is not supported (gelu, gelu_new, gelu_pytorch_tanh, silu are)", "field add_cross_attention is not known, and may change what the model computes"}
	for _, err := range got.Refuses {
		reason, ok := strings.CutPrefix(err.Error(), "read "+filepath.Join(dir, configName)+": ")
		if !ok || len(refused) == 0 || reason != refused[0] {
			t.Errorf("refused: %v, want %q", err, refused)
		}
		refused = refused[min(1, len(refused)):]
	}
	if got.Refuses = nil; len(refused) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v; not refused: %q", got, want, refused)
	}
}

// A fault that two rotary embeddings have is told once, and a number of layers that is not the file's in place of the tensors that lack.
func TestFaultsOfAConfigAreToldOnce(t *testing.T) {
	for _, c := range []struct {
		model, field string
		value        any
		want         string
	}{
		{"tiny-gemma3", "head_dim", 7, "head_dim 7 is odd, but rotary embeddings turn pairs"},
		{"tiny-gpt2", "n_layer", 4, "config.json asks for 4 layers, the weights hold 2: set num_hidden_layers (n_layer of GPT-2 and GPT-J) to what they hold, or bring the weights that it is of"},
		{"tiny-llama", "num_hidden_layers", 1, "config.json asks for 1 layers, the weights hold 2: set num_hidden_layers (n_layer of GPT-2 and GPT-J) to what they hold, or bring the weights that it is of"},
		{"tiny-gpt2", "n_layer", "two", `field n_layer is "two": a whole number is needed`},
		{"tiny-llama", "architectures", []string{}, `field architectures is []: it must name one class, such as ["LlamaForCausalLM"]`},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(golden.Testdata(t, "models", c.model))); err != nil {
			t.Fatal(err)
		}
		of, err := ReadConfig(dir)
		if err == nil {
			err = of.write(filepath.Join(dir, configName), map[string]any{c.field: c.value})
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.HasSuffix(err.Error(), ": "+c.want) || strings.Count(err.Error(), c.want) != 1 {
			t.Errorf("%s with %s %v: %v, want %s", c.model, c.field, c.value, err, c.want)
		}
	}
}
