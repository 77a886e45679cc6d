package main

import "strings"

// badInference are models that cannot be written for inference, and what is asked of them wrongly.
func badInference() []badCase {
	const inference = "export --model model --for inference --quiet --out out"
	wrong := func(args string) badCase {
		return badCase{"inference by " + strings.ReplaceAll(args, inference, "…"), nil, args, exitUsage, 0, ""}
	}
	exported := func(w *work) { w.did(inference) }
	return []badCase{
		wrong("export --model model --for training-and-inference --out out"), wrong("export --model model --for inference"),
		wrong(inference + " --weights int3"), wrong(inference + " --loss ipo"), wrong(inference + " --print block"), wrong(inference + " --threads -1"),
		wrong("export --model model --out out --weights int8"), wrong("export --model model --out out --json"), wrong("export --model model --out out --check pairs.jsonl"),
		{"inference of no model", nil, strings.Replace(inference, "--model model", "--model nowhere", 1), 1, 0, ""},
		{"inference of a reward model", func(w *work) { w.did("reward --model model --data pairs.jsonl --out made --quiet --batch 8 --steps 1") },
			strings.Replace(inference, "--model model", "--model made", 1), 1, 0, ""},
		{"inference without weights", func(w *work) { w.remove(weightsPath) }, inference, 1, 0, ""},
		{"inference without a tokenizer", func(w *work) { w.remove("model/tokenizer.json") }, inference, 1, 0, ""},
		{"inference of an unknown rope", func(w *work) {
			w.field("model/config.json", "rope_scaling", map[string]any{"rope_type": "longrope", "factor": 4})
		}, inference, 1, 0, ""},
		{"inference with no temperature", func(w *work) { w.write("model/generation_config.json", `{"temperature": "hot"}`) }, inference, 1, 0, ""},
		{"inference out is a file", func(w *work) { w.write("out", "a file") }, inference, 1, 0, ""},
		{"inference out not empty", func(w *work) { w.write("out/file", "a file") }, inference, 1, 0, ""},
		{"inference out exists", exported, inference, 1, 0, ""},
		{"inference over something else", func(w *work) { w.write("out/file", "a file") }, inference + " --overwrite", 1, 0, ""},
		{"inference checked by no file", nil, inference + " --check nowhere.jsonl", 1, 0, ""},
		{"inference checked by no answers", func(w *work) { w.write("prompts.jsonl", `{"prompt": "a"}`) }, inference + " --check prompts.jsonl", 1, 0, ""},
		{"disk full inference", nil, inference, 1, 100, ""},
		{"disk full inference over another", exported, inference + " --overwrite", 1, 100, ""},
	}
}
