package models

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// as changes the small configuration to another class and more.
func as(class string, change map[string]any) map[string]any {
	fields := map[string]any{"architectures": []string{class}}
	maps.Copy(fields, change)
	return fields
}

// Which layers are local is what transformers 5.23 makes of the same fields, defaults among them.
func TestDescribeReadsWindows(t *testing.T) {
	sliding := map[string]any{"use_sliding_window": true, "sliding_window": 8}
	with := func(more map[string]any) map[string]any {
		fields := maps.Clone(sliding)
		maps.Copy(fields, more)
		return fields
	}
	null := rawNull{}
	for name, c := range map[string]struct {
		class  string
		change map[string]any
		local  []bool
		window int
	}{
		"mistral":                {"MistralForCausalLM", map[string]any{"sliding_window": 8}, []bool{true, true}, 8},
		"mistral, null":          {"MistralForCausalLM", map[string]any{"sliding_window": null}, nil, 0},
		"mistral, absent":        {"MistralForCausalLM", nil, []bool{true, true}, 4096},
		"qwen2":                  {"Qwen2ForCausalLM", with(map[string]any{"max_window_layers": 1}), []bool{false, true}, 8},
		"qwen2, not used":        {"Qwen2ForCausalLM", map[string]any{"sliding_window": 8, "max_window_layers": 0}, nil, 0},
		"qwen2, from layer 28":   {"Qwen2ForCausalLM", sliding, nil, 0},
		"qwen2, null":            {"Qwen2ForCausalLM", with(map[string]any{"sliding_window": null, "max_window_layers": 0}), nil, 0},
		"qwen2, 4096":            {"Qwen2ForCausalLM", map[string]any{"use_sliding_window": true, "max_window_layers": 0}, []bool{true, true}, 4096},
		"qwen3, types":           {"Qwen3ForCausalLM", with(map[string]any{"layer_types": []string{"sliding_attention", "full_attention"}}), []bool{true, false}, 8},
		"qwen3, types come over": {"Qwen3ForCausalLM", with(map[string]any{"max_window_layers": 0, "layer_types": []string{"full_attention", "attention"}}), nil, 0},
		"qwen3, all full":        {"Qwen3ForCausalLM", map[string]any{"layer_types": []string{"full_attention", "full_attention"}}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := describe(t, as(c.class, c.change))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(d.Local, c.local) || d.Window != c.window {
				t.Errorf("local layers %v with a window of %d, want %v and %d", d.Local, d.Window, c.local, c.window)
			}
		})
	}
}

// rawNull is null in a configuration; describe leaves out what is nil.
type rawNull struct{}

func (rawNull) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func TestDescribeRefusesWindowsItCannotServe(t *testing.T) {
	for want, fields := range map[string]map[string]any{
		"sliding_window must be a positive integer": as("MistralForCausalLM", map[string]any{"sliding_window": 0}),
		"unsupported field layer_types":             as("MistralForCausalLM", map[string]any{"layer_types": []string{"full_attention", "full_attention"}}),
		"unsupported field attention_bias":          as("MistralForCausalLM", map[string]any{"attention_bias": true}),
		"unsupported field mlp_bias":                as("Qwen2ForCausalLM", map[string]any{"mlp_bias": true}),
		"unsupported field use_mrope":               as("Qwen2ForCausalLM", map[string]any{"use_mrope": true}),
		"field use_sliding_window":                  as("Qwen2ForCausalLM", map[string]any{"use_sliding_window": "yes"}),
		"field max_window_layers":                   as("Qwen2ForCausalLM", map[string]any{"max_window_layers": "all"}),
		"layer 1 is \"chunked_attention\"":          as("Qwen3ForCausalLM", map[string]any{"layer_types": []string{"full_attention", "chunked_attention"}}),
		"names 1 layers, num_hidden_layers is 2":    as("Qwen3ForCausalLM", map[string]any{"layer_types": []string{"full_attention"}}),
		"layer 0 is sliding_attention, but use_":    as("Qwen3ForCausalLM", map[string]any{"sliding_window": 8, "layer_types": []string{"sliding_attention", "full_attention"}}),
		"num_hidden_layers is 1000000000000":        as("MistralForCausalLM", map[string]any{"num_hidden_layers": 1000000000000}),
		"num_hidden_layers must be a positive":      as("MistralForCausalLM", map[string]any{"num_hidden_layers": -1}),
	} {
		if _, err := describe(t, fields); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// What the classes have when a field is absent, or null, is what transformers 5.23 says.
func TestDescribeKnowsEachClassesDefaults(t *testing.T) {
	for class, want := range map[string]struct {
		kvHeads, headDim         int
		qkv, out, norms, windows bool
	}{
		"LlamaForCausalLM":   {64, 2, false, false, false, false},
		"MistralForCausalLM": {8, 2, false, false, false, true},
		"Qwen2ForCausalLM":   {32, 2, true, false, false, false},
		"Qwen3ForCausalLM":   {32, 128, false, false, true, false},
	} {
		fields := as(class, map[string]any{"hidden_size": 128, "num_attention_heads": 64, "num_key_value_heads": nil})
		d, err := describe(t, fields)
		if err != nil {
			t.Fatal(err)
		}
		if d.KVHeads != want.kvHeads || d.HeadDim != want.headDim || d.QKVBias != want.qkv || d.OutBias != want.out ||
			d.QKNorm != want.norms || (d.Local != nil) != want.windows {
			t.Errorf("%s: read %+v", class, d)
		}
		fields["num_key_value_heads"] = rawNull{}
		if d, err = describe(t, fields); err != nil || d.KVHeads != 64 {
			t.Errorf("%s: null gives %d key heads, want those of queries (%v)", class, d.KVHeads, err)
		}
	}
}

// Layers of one kind share one graph, which reads the masks of its kind.
func TestKindsNameGraphsAndMasks(t *testing.T) {
	d, err := describe(t, as("Qwen2ForCausalLM", map[string]any{"num_hidden_layers": 3, "use_sliding_window": true, "max_window_layers": 1}))
	if err != nil {
		t.Fatal(err)
	}
	var graphs []string
	for _, s := range d.Stages() {
		graphs = append(graphs, s.Graph)
	}
	if want := []string{"embed", "block", "block.local", "block.local", "final", "head"}; !slices.Equal(graphs, want) {
		t.Errorf("stages run %v, want %v", graphs, want)
	}
	built, err := d.Graphs(Types{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range d.Kinds() {
		for _, in := range built[k.Graph].Inputs {
			if strings.Contains(in.Name, "mask") && in.Name != k.PromptMask && in.Name != k.CompletionMask {
				t.Errorf("graph %s reads %s", k.Graph, in.Name)
			}
		}
	}
	if len(d.Kinds()) != 2 || d.Kinds()[0].Window != 0 || d.Kinds()[1].Window != 4096 {
		t.Errorf("kinds %+v", d.Kinds())
	}
}
