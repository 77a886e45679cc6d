package hostile

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
)

func init() { register("adapter", adapterCases) }

// lora is an adapter_config.json that is as it should be, of the base that lies beside it.
var lora = fields{
	"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "base", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "bias": "none",
	"target_modules": []string{"q_proj", "v_proj"}, "fan_in_fan_out": false, "init_lora_weights": true, "modules_to_save": nil, "use_dora": false,
}

// floats is a file of float32 tensors of these shapes, all elements x.
func floats(shapes map[string][]int, x float32) []byte {
	var entries []string
	at := 0
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		n := 4
		for _, dim := range shapes[name] {
			n *= dim
		}
		entries = append(entries, entry(name, "F32", string(must(json.Marshal(shapes[name]))), at, at+n))
		at += n
	}
	header := "{" + strings.Join(entries, ",") + "}"
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	data := tensorFile(header, 0)
	for range at / 4 {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return data
}

const secondQuery, secondValue = "base_model.model.model.layers.1.self_attn.q_proj", "base_model.model.model.layers.1.self_attn.v_proj"

// baseShapes are those of llama's tensors.
func baseShapes() map[string][]int {
	shapes := map[string][]int{"model.embed_tokens.weight": {64, 16}, "lm_head.weight": {64, 16}, "model.norm.weight": {16}}
	for _, layer := range []string{"model.layers.0.", "model.layers.1."} {
		maps.Copy(shapes, map[string][]int{layer + "input_layernorm.weight": {16}, layer + "post_attention_layernorm.weight": {16},
			layer + "self_attn.q_proj.weight": {16, 16}, layer + "self_attn.k_proj.weight": {8, 16}, layer + "self_attn.v_proj.weight": {8, 16},
			layer + "self_attn.o_proj.weight": {16, 16}, layer + "mlp.gate_proj.weight": {32, 16}, layer + "mlp.up_proj.weight": {32, 16},
			layer + "mlp.down_proj.weight": {16, 32}})
	}
	return shapes
}

// adapterShapes are those of an adapter of rank 2 of the queries and values of both layers.
func adapterShapes() map[string][]int {
	shapes := map[string][]int{}
	for _, layer := range []string{"0", "1"} {
		at := "base_model.model.model.layers." + layer + ".self_attn."
		maps.Copy(shapes, map[string][]int{at + "q_proj.lora_A.weight": {2, 16}, at + "q_proj.lora_B.weight": {16, 2},
			at + "v_proj.lora_A.weight": {2, 16}, at + "v_proj.lora_B.weight": {8, 2}})
	}
	return shapes
}

func adapterCases() []Case {
	good, weights := object(lora, nil), floats(adapterShapes(), 0.5)
	base := map[string][]byte{"base/config.json": object(llama, nil), "base/model.safetensors": floats(baseShapes(), 0.5)}
	config := list{file: "adapter_config.json", beside: maps.Clone(base)}
	config.beside["adapter_model.safetensors"] = weights
	config.cuts(good, 0, 1, 40, -1)
	config.text("a list", `[]`)
	config.text("rank twice", `{"r":2,`+string(good[1:]))
	config.text("base twice", `{"base_model_name_or_path":"other",`+string(good[1:]))
	for _, f := range [][3]string{
		{"peft_type unknown", "peft_type", `"IA3"`},
		{"peft_type is a number", "peft_type", `1`},
		{"rank of zero", "r", `0`},
		{"rank of a fraction", "r", `2.5`},
		{"rank of 2 to the 62", "r", `4611686018427387904`},
		{"rank of another adapter", "r", `3`},
		{"alpha is negative", "lora_alpha", `-4`},
		{"alpha of zero", "lora_alpha", `0`},
		{"alpha is text", "lora_alpha", `"4"`},
		{"dropout of all", "lora_dropout", `1`},
		{"dropout is negative", "lora_dropout", `-0.5`},
		{"bias of all", "bias", `"all"`},
		{"modules_to_save unknown", "modules_to_save", `["classifier"]`},
		{"an unknown field", "use_sparse_rows", `true`},
		{"begun by PiSSA", "init_lora_weights", `"pissa"`},
		{"rank_pattern of text", "rank_pattern", `{"q_proj":"2"}`},
		{"rank_pattern that is no expression", "rank_pattern", `{"(":2}`},
		{"rank_pattern of another rank", "rank_pattern", `{"q_proj":4}`},
		{"rank_pattern of zero", "rank_pattern", `{"q_proj":0}`},
		{"rank_pattern is a list", "rank_pattern", `[2]`},
		{"alpha_pattern of a list", "alpha_pattern", `{"q_proj":[4]}`},
		{"alpha_pattern is negative", "alpha_pattern", `{"q_proj":-4}`},
		{"DoRA without magnitudes", "use_dora", `true`},
		{"base is nowhere", "base_model_name_or_path", `"elsewhere"`},
		{"base is empty", "base_model_name_or_path", `""`},
		{"base is the adapter", "base_model_name_or_path", `"."`},
		{"base is a number", "base_model_name_or_path", `7`},
	} {
		config.add(f[0], object(lora, fields{f[1]: json.RawMessage(f[2])}))
	}
	return append(config.cases, adapterWeightCases(good, weights, base)...)
}

// adapterWeightCases are of adapter_model.safetensors.
func adapterWeightCases(good, weights []byte, base map[string][]byte) []Case {
	l := list{file: "adapter_model.safetensors", beside: maps.Clone(base)}
	l.beside["adapter_config.json"] = good
	change := func(name, tensor string, shape []int) {
		shapes := adapterShapes()
		if shapes[tensor] = shape; shape == nil {
			delete(shapes, tensor)
		}
		l.add(name, floats(shapes, 0.5))
	}
	l.add("weights are empty", nil)
	l.add("weights are cut", weights[:len(weights)-1])
	l.add("weights of no tensor", floats(nil, 0))
	l.add("weights are not finite", floats(adapterShapes(), float32(math.NaN())))
	l.add("weights of an infinite element", append(weights[:len(weights)-4:len(weights)-4], 0, 0, 0x80, 0x7f))
	l.add("weights of integers", []byte(strings.ReplaceAll(string(weights), `"F32"`, `"I32"`)))
	l.add("weights of another prefix", []byte(strings.ReplaceAll(string(weights), "base_model.model.", "base_model.modes.")))
	change("A of another rank", secondQuery+".lora_A.weight", []int{3, 16})
	change("A of a vector", secondQuery+".lora_A.weight", []int{32})
	change("A of another base", secondQuery+".lora_A.weight", []int{2, 24})
	change("B of another rank", secondQuery+".lora_B.weight", []int{16, 3})
	change("B of another base", secondValue+".lora_B.weight", []int{12, 2})
	change("B is lacking", secondValue+".lora_B.weight", nil)
	change("A is lacking", secondValue+".lora_A.weight", nil)
	change("a module of a third layer", strings.Replace(secondQuery, "layers.1", "layers.2", 1)+".lora_A.weight", []int{2, 16})
	change("a module of no layer", "base_model.model.classifier.lora_A.weight", []int{2, 16})
	change("a bias", secondQuery+".lora_B.bias", []int{16})
	change("a magnitude without DoRA", secondQuery+".lora_magnitude_vector", []int{16})
	change("a module that is saved whole", "base_model.model.lm_head.weight", []int{64, 16})
	change("a base layer of other elements", "base_model.model.lm_head.base_layer.weight", []int{64, 8})
	without := maps.Clone(l.beside)
	return append(l.cases, Case{Name: "no weights", Files: without})
}
