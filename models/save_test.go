package models

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// writeModel makes a model directory whose tensors hold 0.5, changed by change.
func writeModel(t *testing.T, fields map[string]any, change func(entries map[string]safetensors.Entry)) string {
	t.Helper()
	dir := t.TempDir()
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"config.json": data, "tokenizer.json": []byte("{}")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, d, err := Describe(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]safetensors.Entry{}
	for name, shape := range d.Shapes() {
		n := int64(1)
		for _, s := range shape {
			n *= s
		}
		entries[name] = safetensors.Entry{Name: name, DType: "F32", Shape: shape, Data: floats(n, 0.5)}
	}
	if change != nil {
		change(entries)
	}
	var list []safetensors.Entry
	for _, e := range entries {
		list = append(list, e)
	}
	if err := safetensors.Write(filepath.Join(dir, "model.safetensors"), list, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func floats(n int64, x float32) []byte {
	var out []byte
	for range n {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}

func TestOpenNamesEachWrongTensor(t *testing.T) {
	const q = "model.layers.0.self_attn.q_proj.weight"
	for want, change := range map[string]func(map[string]safetensors.Entry){
		"tensor " + q + " is missing": func(e map[string]safetensors.Entry) { delete(e, q) },
		"has shape [16 32], config.json asks for [32 32]": func(e map[string]safetensors.Entry) {
			e[q] = safetensors.Entry{Name: q, DType: "F32", Shape: []int64{16, 32}, Data: floats(512, 0)}
		},
		"holds NaN at element 7": func(e map[string]safetensors.Entry) {
			binary.LittleEndian.PutUint32(e[q].Data[28:], math.Float32bits(float32(math.NaN())))
		},
		"holds +Inf at element 0": func(e map[string]safetensors.Entry) {
			binary.LittleEndian.PutUint32(e[q].Data, math.Float32bits(float32(math.Inf(1))))
		},
		"tensor extra.bias is not part of a LlamaForCausalLM": func(e map[string]safetensors.Entry) {
			e["extra.bias"] = safetensors.Entry{Name: "extra.bias", DType: "F32", Shape: []int64{1}, Data: floats(1, 0)}
		},
		"has type I64": func(e map[string]safetensors.Entry) {
			e[q] = safetensors.Entry{Name: q, DType: "I64", Shape: []int64{32, 32}, Data: make([]byte, 8*1024)}
		},
	} {
		_, err := Open(writeModel(t, small(), change))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestOpenPassesOverTablesAndTheTiedHead(t *testing.T) {
	m, err := Open(writeModel(t, small(), func(e map[string]safetensors.Entry) {
		e["lm_head.weight"] = safetensors.Entry{Name: "lm_head.weight", DType: "F32", Shape: []int64{128, 32}, Data: floats(128*32, 0.5)}
		e["model.layers.0.self_attn.rotary_emb.inv_freq"] = safetensors.Entry{Name: "model.layers.0.self_attn.rotary_emb.inv_freq", DType: "F32", Shape: []int64{4}, Data: floats(4, 1)}
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestSave(t *testing.T) {
	m, err := Open(writeModel(t, small(), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	// Half of the norm's elements move by 2⁻¹¹, which bfloat16 cannot hold beside 0.5.
	trained := func(name string) ([]byte, error) {
		tensor, err := m.Weights.Tensor(name)
		if err != nil || name != "model.norm.weight" {
			return tensor.Data, err
		}
		return append(floats(16, 0.5+1.0/2048), floats(16, 0.75)...), nil
	}
	for saveType, want := range map[string]struct {
		dtype string
		share float64
	}{"float32": {"F32", 1}, "source": {"F32", 1}, "bfloat16": {"BF16", 0.5}, "float16": {"F16", 1}} {
		dir := filepath.Join(t.TempDir(), "out")
		survival, err := m.Save(dir, saveType, trained)
		if err != nil {
			t.Fatal(err)
		}
		if survival.Changed != 32 || survival.Share() != want.share {
			t.Errorf("%s: %d elements changed, %v of them kept; want 32 and %v", saveType, survival.Changed, survival.Share(), want.share)
		}
		saved, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		norm, err := saved.Weights.Tensor("model.norm.weight")
		if err != nil || norm.DType != want.dtype || saved.Weights.(*safetensors.Model).Metadata()["format"] != "pt" {
			t.Errorf("%s: saved as %s with metadata %v (%v)", saveType, norm.DType, saved.Weights.(*safetensors.Model).Metadata(), err)
		}
		saved.Close()
		var config map[string]any
		text, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &config); err != nil {
			t.Fatal(err)
		}
		if saveType != "source" && config["torch_dtype"] != saveType {
			t.Errorf("%s: config.json says torch_dtype %v", saveType, config["torch_dtype"])
		}
		if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err != nil {
			t.Error(err)
		}
	}
}
