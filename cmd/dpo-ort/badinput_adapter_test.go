package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/dpo-ort/dpo-ort/models"
)

// badAdapters are adapters that cannot be made, and folders of adapters that cannot be used.
func badAdapters() []badCase {
	wrong := func(flags string) badCase {
		return badCase{"train " + flags, nil, train + " " + flags, exitUsage, 0, ""}
	}
	adapter := func(w *work) {
		w.check(models.WriteAdapter(w.path("adapter"), w.path("model"), models.AdapterSpec{Rank: 2, Alpha: 4, Targets: []string{models.AllLinear}}, 1))
	}
	changed := func(name, from, to string) badCase {
		return badCase{"adapter " + name, func(w *work) {
			adapter(w)
			for _, file := range []string{"adapter/adapter_config.json", "adapter/adapter_model.safetensors"} {
				w.write(file, strings.Replace(w.read(file), from, to, 1))
			}
		}, strings.Replace(train, "--model model", "--model adapter", 1), 1, 0, ""}
	}
	of := func(name, command string, code int) badCase {
		return badCase{name, adapter, strings.Replace(command, "--model model", "--model adapter", 1), code, 0, ""}
	}
	return []badCase{
		wrong("--adapter ia3"), wrong("--adapter lora --lora-rank 0"), wrong("--adapter lora --lora-alpha -1"), wrong("--lora-rank 8"),
		wrong("--adapter lora --lora-targets q_porj"), wrong("--adapter lora --lora-targets ("), wrong("--rslora"),
		{"train --adapter dora of the embedding", nil, train + " --adapter dora --lora-targets embed_tokens", 1, 0, ""},
		{"reward --adapter", nil, "reward --model model --data pairs.jsonl --out out --adapter lora", exitUsage, 0, ""},
		{"sft --init --adapter", nil, "sft --init model --data pairs.jsonl --out out --adapter lora", exitUsage, 0, ""},
		of("an adapter of an adapter", train+" --adapter lora", exitUsage),
		of("reward of an adapter", "reward --model model --data pairs.jsonl --out out", 1),
		of("reference that follows, another than the adapter", train+" --sync-ref-model --ref model", exitUsage),
		changed("with dropout", `"lora_dropout": 0`, `"lora_dropout": 0.1`),
		changed("of another method", `"LORA"`, `"LOHA"`),
		changed("with another rank", `"r": 2`, `"r": 4`),
		changed("with trained biases", `"bias": "none"`, `"bias": "all"`),
		changed("with whole modules", `"modules_to_save": null`, `"modules_to_save": ["lm_head"]`),
		changed("without its base", `/model"`, `/nowhere"`),
		{"adapter without base and tokenizer", func(w *work) {
			adapter(w)
			w.remove("adapter/tokenizer.json")
			w.write("adapter/adapter_config.json", strings.Replace(w.read("adapter/adapter_config.json"), `/model"`, `/nowhere"`, 1))
		}, strings.Replace(train, "--model model", "--model adapter", 1), 1, 0, ""},
		changed("with a tensor lacking", "layers.1.mlp.up_proj.lora_B", "layers.9.mlp.up_proj.lora_B"),
		{"adapter of another base, of another shape", func(w *work) {
			adapter(w)
			w.check(os.RemoveAll(w.path("model")))
			w.check(os.CopyFS(w.path("model"), os.DirFS(filepath.Join("..", "..", "testdata", "models", "tiny-qwen3"))))
		}, strings.Replace(score, "--model model", "--model adapter", 1), 1, 0, ""},
		{"adapter of another base, of the same shape", func(w *work) {
			adapter(w)
			w.weights(func(s *stored) { s.set("model.norm.weight", 0, 0.5) })
		}, strings.Replace(score, "--model model", "--model adapter", 1), 1, 0, ""},
		{"merge", nil, "merge", exitUsage, 0, ""},
		{"merge of a model", nil, "merge --model model --out out", 1, 0, ""},
		of("merge into a folder that is not empty", "merge --model model --out adapter", 1),
		of("merge as int8", "merge --model model --out out --save-type int8", exitUsage),
	}
}
