package main

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
)

const weightsPath = "model/model.safetensors"

// badModels are models whose files are wrong.
func badModels() []badCase {
	const last = "model.norm.weight"
	weights := func(name string, change func(s *stored)) badCase {
		return badCase{"weights " + name, func(w *work) { w.weights(change) }, train, 1, 0, ""}
	}
	raw := func(name string, change func(text string) string) badCase {
		return badCase{"weights " + name, func(w *work) { w.write(weightsPath, change(w.read(weightsPath))) }, train, 1, 0, ""}
	}
	config := func(name, field string, value any) badCase {
		return badCase{"config " + name, func(w *work) { w.field("model/config.json", field, value) }, train, 1, 0, ""}
	}
	file := func(name, path, text string) badCase {
		return badCase{name, func(w *work) { w.write(path, text) }, train, 1, 0, ""}
	}
	larger := func(w *work) { // a tokenizer of one token more than the model
		text := w.read("model/tokenizer.json")
		w.write("model/tokenizer.json", strings.Replace(text, `"added_tokens":`, `"added_tokens": [{"id": 320, "content": "<more>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}], "older":`, 1))
	}
	return []badCase{
		raw("truncated", func(text string) string { return text[:len(text)/2] }),
		raw("overlong", func(text string) string { return text + "more" }),
		raw("empty", func(string) string { return "" }),
		raw("header too long", func(text string) string { return strings.Repeat("\xff", 8) + text[8:] }),
		raw("header beyond the end", func(text string) string { return "\x00\x00\x10\x00\x00\x00\x00\x00" + text[8:] }),
		raw("header not JSON", func(text string) string { return text[:8] + "{]" + text[10:] }),
		weights("overlapping", func(s *stored) { s.tensors[last].Offsets = [2]int64{0, 128} }),
		weights("tensor missing", func(s *stored) {
			s.tensors["model.norms.weight"] = s.tensors[last]
			delete(s.tensors, last)
		}),
		weights("wrong shape", func(s *stored) { s.tensors[last].Shape = []int64{2, 16} }),
		weights("NaN", func(s *stored) { s.set(last, 3, float32(math.NaN())) }),
		weights("infinity", func(s *stored) { s.set(last, 4, float32(math.Inf(-1))) }),
		weights("integers", func(s *stored) { s.tensors[last].DType = "I32" }),
		weights("unknown type", func(s *stored) { s.tensors[last].DType = "F12" }),
		{"weights missing", func(w *work) { w.remove(weightsPath) }, train, 1, 0, ""},
		{"shard missing", func(w *work) {
			w.remove(weightsPath)
			w.write("model/model.safetensors.index.json", `{"weight_map": {"model.norm.weight": "model-1.safetensors"}}`)
		}, train, 1, 0, ""},
		{"shard outside", func(w *work) {
			w.write("x", w.read(weightsPath))
			w.remove(weightsPath)
			w.write("model/model.safetensors.index.json", `{"weight_map": {"model.norm.weight": "../x"}}`)
		}, train, 1, 0, ""},

		{"config missing", func(w *work) { w.remove("model/config.json") }, train, 1, 0, ""},
		file("config not JSON", "model/config.json", "{"),
		config("no architecture", "architectures", nil),
		config("unknown architecture", "architectures", []string{"MambaForCausalLM"}),
		config("unknown field", "attn_logit_softcapping", 50),
		config("heads no multiple", "num_key_value_heads", 3),
		config("number missing", "hidden_size", nil),
		config("number negative", "num_hidden_layers", -2),
		config("number no number", "vocab_size", "many"),
		config("unsupported activation", "hidden_act", "relu"),
		{"mixture of experts", func(w *work) {
			w.field("model/config.json", "architectures", []string{"MixtralForCausalLM"})
			w.field("model/config.json", "num_local_experts", 8)
		}, train, 1, 0, ""},
		{"doctor says what of a config is not supported", func(w *work) {
			w.field("model/config.json", "attn_logit_softcapping", 50)
			w.field("model/config.json", "hidden_act", "relu")
			w.field("model/config.json", "rope_parameters", map[string]any{"rope_type": "longrope", "rope_theta": 1e4})
		}, "doctor --model model", 1, 0, ""},
		{"doctor says what is wrong with the layers", func(w *work) { w.field("model/config.json", "num_hidden_layers", 5) }, "doctor --model model", 1, 0, ""},
		{"doctor without an architecture", func(w *work) { w.field("model/config.json", "architectures", nil) }, "doctor --model model", 1, 0, ""},
		config("unsupported rope", "rope_parameters", map[string]any{"rope_type": "longrope", "rope_theta": 1e4}),

		{"tokenizer missing", func(w *work) { w.remove("model/tokenizer.json") }, train, 1, 0, ""},
		file("tokenizer garbage", "model/tokenizer.json", "garbage"),
		{"tokenizer cut", func(w *work) { w.write("model/tokenizer.json", w.read("model/tokenizer.json")[:4000]) }, train, 1, 0, ""},
		{"tokenizer larger than the model", larger, train, 1, 0, ""},
		{"validate tokens without embeddings", func(w *work) {
			larger(w)
			w.write("bad.jsonl", goodRow+strings.Replace(goodRow, "cat", "<more>", 1))
		}, "data validate --model model --data bad.jsonl", 1, 0, ""},
		{"tokenizer without EOS", func(w *work) {
			w.field("model/config.json", "eos_token_id", nil)
			w.field("model/tokenizer_config.json", "eos_token", nil)
		}, train + " --eos add", 1, 0, ""},
		{"model nowhere", nil, "doctor --model nowhere", 1, 0, ""},
		{"doctor sees weights and tokenizer", func(w *work) {
			w.weights(func(s *stored) { s.set(last, 3, float32(math.NaN())) })
			w.write("model/tokenizer.json", "[]")
		}, "doctor --model model", 1, 0, ""},
		{"reference of another vocabulary", func(w *work) {
			w.write("ref/config.json", w.read("model/config.json"))
			w.write("ref/model.safetensors", w.read(weightsPath))
			w.field("ref/config.json", "vocab_size", 319)
			w.weightsOf("ref/model.safetensors", func(s *stored) { s.shorten("model.embed_tokens.weight", 319, 32) })
		}, train + " --ref ref", 1, 0, ""},
		{"reference nowhere", nil, train + " --ref nowhere", 1, 0, ""},
	}
}

// field sets a field of a JSON file; nil removes it.
func (w *work) field(path, name string, value any) {
	w.t.Helper()
	var fields map[string]any
	w.check(json.Unmarshal([]byte(w.read(path)), &fields))
	if fields[name] = value; value == nil {
		delete(fields, name)
	}
	text, err := json.Marshal(fields)
	w.check(err)
	w.write(path, string(text))
}

// stored is a safetensors file taken apart.
type stored struct {
	tensors map[string]*storedTensor
	data    []byte
}

type storedTensor struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// set changes an element of a float32 tensor.
func (s *stored) set(name string, i int64, x float32) {
	binary.LittleEndian.PutUint32(s.data[s.tensors[name].Offsets[0]+4*i:], math.Float32bits(x))
}

// shorten takes rows of a float32 tensor away.
func (s *stored) shorten(name string, rows, columns int64) {
	of := s.tensors[name]
	end := of.Offsets[0] + 4*rows*columns
	gone := of.Offsets[1] - end
	s.data = slices.Delete(s.data, int(end), int(of.Offsets[1]))
	for _, t := range s.tensors {
		if t.Offsets[0] > of.Offsets[0] {
			t.Offsets[0] -= gone
			t.Offsets[1] -= gone
		}
	}
	of.Offsets[1], of.Shape = end, []int64{rows, columns}
}

func (w *work) weights(change func(s *stored)) { w.weightsOf(weightsPath, change) }

// weightsOf changes a safetensors file.
func (w *work) weightsOf(path string, change func(s *stored)) {
	w.t.Helper()
	text := []byte(w.read(path))
	end := 8 + binary.LittleEndian.Uint64(text)
	var header map[string]json.RawMessage
	w.check(json.Unmarshal(text[8:end], &header))
	s := &stored{tensors: map[string]*storedTensor{}, data: text[end:]}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if name != "__metadata__" {
			s.tensors[name] = &storedTensor{}
			w.check(json.Unmarshal(header[name], s.tensors[name]))
		}
	}
	change(s)
	head, err := json.Marshal(s.tensors)
	w.check(err)
	w.write(path, string(binary.LittleEndian.AppendUint64(nil, uint64(len(head))))+string(head)+string(s.data))
}
