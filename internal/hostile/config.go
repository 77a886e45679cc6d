package hostile

import (
	"encoding/json"
	"maps"
	"slices"
)

func init() {
	register("config", configCases)
	register("generation-config", func() []Case {
		l := list{file: "generation_config.json", beside: map[string][]byte{"config.json": object(llama, nil)}}
		for _, f := range [][2]string{
			{"a list", `[]`}, {"cut", `{"eos_token_id":`}, {"empty", ``}, {"null", `null`},
			{"eos is text", `{"eos_token_id":"</s>"}`},
			{"eos is an object", `{"eos_token_id":{"id":1}}`},
			{"eos is a fraction", `{"eos_token_id":1.5}`},
			{"eos of 2 to the 31", `{"eos_token_id":2147483648}`},
			{"eos is negative", `{"eos_token_id":-1}`},
			{"eos list holds text", `{"eos_token_id":[1,"2"]}`},
			{"eos list holds null", `{"eos_token_id":[null]}`},
			{"eos list is nested", `{"eos_token_id":[[1]]}`},
			{"eos twice", `{"eos_token_id":1,"eos_token_id":2}`},
			{"no UTF-8", "{\"a\":\"\xff\"}"},
		} {
			l.text(f[0], f[1])
		}
		return l.cases
	})
}

// fields are those of a JSON object: a value that is a json.RawMessage stands as it is.
type fields map[string]any

// llama is a config.json that is as it should be.
var llama = fields{
	"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
	"num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "hidden_act": "silu", "max_position_embeddings": 128,
	"rope_theta": 10000.0, "tie_word_embeddings": false, "attention_bias": false, "mlp_bias": false,
}

// object writes fields with others in their place; nil leaves one out. What is raw may be no JSON.
func object(base, other fields) []byte {
	all := maps.Clone(base)
	for name, v := range other {
		if all[name] = v; v == nil {
			delete(all, name)
		}
	}
	b := []byte{'{'}
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if i > 0 {
			b = append(b, ',')
		}
		text, is := all[name].(json.RawMessage)
		if !is {
			text = must(json.Marshal(all[name]))
		}
		b = append(append(append(b, must(json.Marshal(name))...), ':'), text...)
	}
	return append(b, '}')
}

func configCases() []Case {
	l := list{file: "config.json"}
	whole := object(llama, nil)
	l.cuts(whole, 0, 1, 17, 60, -2, -1)
	set := func(name, field, value string) {
		l.add(name, object(llama, fields{field: json.RawMessage(value)}))
	}
	without := func(field string) { l.add("no "+field, object(llama, fields{field: nil})) }
	for _, f := range [][2]string{
		{"a list", `[]`}, {"null", `null`}, {"a text", `"config"`}, {"an empty object", `{}`}, {"HTML", `<!DOCTYPE html>`},
		{"no UTF-8", string(object(llama, fields{"note": nil})[:1]) + "\"_name_or_path\":\"caf\xe9\"," + string(whole[1:])},
		{"half a character", `{"_name_or_path":"\ud83d",` + string(whole[1:])},
		{"more after the end", string(whole) + `{}`},
		{"a comment", "// llama\n" + string(whole)},
		{"a field twice", `{"hidden_size":32,` + string(whole[1:])},
		{"architectures twice", `{"architectures":["MistralForCausalLM"],` + string(whole[1:])},
		{"a field in capitals", `{"HIDDEN_SIZE":32,` + string(whole[1:])},
		{"nests deep", `{"quantization_config":` + deep("[", "", "]", 20_000) + `}`},
	} {
		l.text(f[0], f[1])
	}
	for _, field := range []string{"architectures", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"} {
		without(field)
	}
	for _, f := range [][3]string{
		{"architectures is a text", "architectures", `"LlamaForCausalLM"`},
		{"architectures is empty", "architectures", `[]`},
		{"architectures of two", "architectures", `["LlamaForCausalLM","MistralForCausalLM"]`},
		{"architectures holds a number", "architectures", `[1]`},
		{"architecture is unknown", "architectures", `["MambaForCausalLM"]`},
		{"architecture in small letters", "architectures", `["llamaforcausallm"]`},
		{"vocab_size is zero", "vocab_size", `0`},
		{"vocab_size is negative", "vocab_size", `-64`},
		{"vocab_size is text", "vocab_size", `"64"`},
		{"vocab_size is a fraction", "vocab_size", `64.5`},
		{"vocab_size of 2 to the 63", "vocab_size", `9223372036854775808`},
		{"vocab_size just below 2 to the 63", "vocab_size", `9223372036854775807`},
		{"vocab_size of 2 to the 31", "vocab_size", `2147483648`},
		{"vocab_size is null", "vocab_size", `null`},
		{"vocab_size is a list", "vocab_size", `[64]`},
		{"hidden_size is zero", "hidden_size", `0`},
		{"hidden_size whose square overflows", "hidden_size", `4294967296`},
		{"hidden_size that heads do not divide", "hidden_size", `18`},
		{"hidden_size below the number of heads", "hidden_size", `2`},
		{"hidden_size of 2 to the 62", "hidden_size", `4611686018427387904`},
		{"intermediate_size is true", "intermediate_size", `true`},
		{"intermediate_size is negative", "intermediate_size", `-1`},
		{"intermediate_size of 2 to the 40", "intermediate_size", `1099511627776`},
		{"layers of zero", "num_hidden_layers", `0`},
		{"layers of a thousand million", "num_hidden_layers", `1000000000`},
		{"layers just below 2 to the 63", "num_hidden_layers", `9223372036854775807`},
		{"heads of zero", "num_attention_heads", `0`},
		{"heads of minus four", "num_attention_heads", `-4`},
		{"heads of 2 to the 62", "num_attention_heads", `4611686018427387904`},
		{"key heads that do not divide heads", "num_key_value_heads", `3`},
		{"key heads more than heads", "num_key_value_heads", `8`},
		{"key heads of zero", "num_key_value_heads", `0`},
		{"head_dim is odd", "head_dim", `5`},
		{"head_dim is negative", "head_dim", `-2`},
		{"head_dim of zero", "head_dim", `0`},
		{"head_dim of 2 to the 40", "head_dim", `1099511627776`},
		{"head_dim just below 2 to the 63", "head_dim", `9223372036854775806`},
		{"eps of zero", "rms_norm_eps", `0`},
		{"eps is negative", "rms_norm_eps", `-1e-5`},
		{"eps too large", "rms_norm_eps", `1e999`},
		{"eps is text", "rms_norm_eps", `"1e-5"`},
		{"eps of a million", "rms_norm_eps", `1e6`},
		{"activation unknown", "hidden_act", `"relu"`},
		{"activation is a number", "hidden_act", `1`},
		{"theta of zero", "rope_theta", `0`},
		{"theta is negative", "rope_theta", `-10000`},
		{"theta of 1e300", "rope_theta", `1e300`},
		{"theta is text", "rope_theta", `"10000"`},
		{"tie_word_embeddings is a number", "tie_word_embeddings", `1`},
		{"tie_word_embeddings is text", "tie_word_embeddings", `"false"`},
		{"attention_bias is a list", "attention_bias", `[]`},
		{"rope_scaling is a text", "rope_scaling", `"linear"`},
		{"rope_scaling is a list", "rope_scaling", `[1]`},
		{"rope_scaling of an unknown type", "rope_scaling", `{"type":"cubic","factor":2}`},
		{"rope_scaling without a factor", "rope_scaling", `{"type":"linear"}`},
		{"rope_scaling by a factor of zero", "rope_scaling", `{"type":"linear","factor":0}`},
		{"rope_scaling by a negative factor", "rope_scaling", `{"type":"dynamic","factor":-2}`},
		{"rope_scaling by text", "rope_scaling", `{"type":"linear","factor":"2"}`},
		{"rope_scaling by 1e308", "rope_scaling", `{"type":"linear","factor":1e308}`},
		{"rope_scaling with an unknown field", "rope_scaling", `{"type":"linear","factor":2,"phase":1}`},
		{"rope_scaling factor twice", "rope_scaling", `{"type":"linear","factor":2,"factor":4}`},
		{"rope_scaling with two types", "rope_scaling", `{"type":"linear","rope_type":"yarn","factor":2}`},
		{"llama3 without its frequencies", "rope_scaling", `{"rope_type":"llama3","factor":8}`},
		{"llama3 with frequencies reversed", "rope_scaling", `{"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":1,"original_max_position_embeddings":64}`},
		{"llama3 with a negative length", "rope_scaling", `{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":-64}`},
		{"yarn with a negative length", "rope_scaling", `{"rope_type":"yarn","factor":4,"original_max_position_embeddings":-1}`},
		{"yarn with a negative beta", "rope_scaling", `{"rope_type":"yarn","factor":4,"original_max_position_embeddings":64,"beta_fast":-1}`},
		{"rope turns a part of a head", "rope_parameters", `{"rope_type":"default","rope_theta":10000,"partial_rotary_factor":0.5}`},
		{"rope_parameters with a theta of minus one", "rope_parameters", `{"rope_type":"default","rope_theta":-1}`},
		{"context of minus one", "max_position_embeddings", `-1`},
		{"context is text", "max_position_embeddings", `"128"`},
		{"context of 2 to the 63", "max_position_embeddings", `9223372036854775808`},
		{"an unknown field", "use_parallel_residual", `true`},
		{"quantized", "quantization_config", `{"bits":4}`},
		{"eos is text", "eos_token_id", `"</s>"`},
		{"eos is an object", "eos_token_id", `{}`},
	} {
		set(f[0], f[1], f[2])
	}
	mistral := maps.Clone(llama)
	mistral["architectures"], mistral["model_type"] = []string{"MistralForCausalLM"}, "mistral"
	delete(mistral, "attention_bias")
	delete(mistral, "mlp_bias")
	qwen := maps.Clone(mistral)
	qwen["architectures"], qwen["model_type"] = []string{"Qwen2ForCausalLM"}, "qwen2"
	for _, f := range [][2]string{{"a window of zero", `0`}, {"a window of minus four", `-4`}, {"a window of text", `"4"`}, {"a window of a fraction", `4.5`}} {
		l.add("Mistral with "+f[0], object(mistral, fields{"sliding_window": json.RawMessage(f[1])}))
		l.add("Qwen2 with "+f[0], object(qwen, fields{"sliding_window": json.RawMessage(f[1]), "use_sliding_window": true, "max_window_layers": 1}))
	}
	return l.cases
}
