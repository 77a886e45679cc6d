package main

import "strings"

// badReferences are names of what lies on the hub. The cases run offline, with an empty cache.
func badReferences() []badCase {
	model := func(name, ref string, code int) badCase {
		return badCase{"hub " + name, nil, strings.Replace(train, "--model model", "--model "+ref, 1), code, 0, ""}
	}
	return []badCase{
		model("model not in the cache", "hf://own/tiny", 1),
		model("commit not in the cache", "hf://own/tiny@0123456789012345678901234567890123456789", 1),
		model("model without an owner", "hf://tiny", 2),
		model("model with a path", "hf://own/tiny/model.safetensors", 2),
		model("model above its folder", "hf://own/..", 2),
		model("revision above its folder", "hf://own/tiny@..%2F..", 2),
		model("data set for a model", "hf://datasets/own/pairs", 2),
		{"hub data not in the cache", nil, trainOn("hf://datasets/own/pairs/*.jsonl"), 1, 0, ""},
		{"hub model for data", nil, trainOn("hf://own/tiny"), 2, 0, ""},
		{"hub data above its folder", nil, trainOn("hf://datasets/own/pairs/../x.jsonl"), 2, 0, ""},
		{"hub glob broken", nil, trainOn("hf://datasets/own/pairs/[x"), 2, 0, ""},
		{"hub for the output", nil, strings.Replace(train, "--out out", "--out hf://own/tiny", 1), 2, 0, ""},
		{"hub in settings", func(w *work) { w.write("run.yaml", "model: hf://own/tiny\ndata: [pairs.jsonl]\nout: out\n") }, "train --config run.yaml --quiet", 1, 0, ""},
		{"hub in a plan", func(w *work) {
			w.write("plan.yaml", "reference: hf://own/tiny\nprompts: [pairs.jsonl]\nreward: length\ndpo: {data: [pairs.jsonl], steps: 1}\npreferred-ft: null\n")
		}, "frontier --plan plan.yaml --out out --quiet", 1, 0, ""},
	}
}
