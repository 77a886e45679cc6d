package main

// badObjectives are what sft and reward are given wrongly.
func badObjectives() []badCase {
	const (
		sft    = "sft --out out --quiet --batch 8 --steps 1 "
		reward = "reward --out out --quiet --batch 8 --steps 1 "
		random = sft + "--data single.jsonl --init config.json --tokenizer model"
	)
	row := func(name, text, args string) badCase {
		return badCase{name, func(w *work) { w.write("bad.jsonl", text) }, args + "--data bad.jsonl", 1, 0, ""}
	}
	begins := func(name string, code int, args string, change func(w *work)) badCase {
		return badCase{name, func(w *work) {
			w.write("single.jsonl", `{"prompt": "the cat", "completion": " sat"}`)
			w.write("config.json", w.read("model/config.json"))
			change(w)
		}, args, code, 0, ""}
	}
	none := func(*work) {}
	made := func(w *work) { w.did("reward --model model --data pairs.jsonl --out made --quiet --batch 8 --steps 1") }
	return []badCase{
		row("sft rows without completion", `{"prompt": "a", "answer": "b"}`, sft+"--model model "),
		row("sft completion empty", `{"prompt": "a", "completion": ""}`, sft+"--model model "),
		row("sft text of numbers", `{"text": 1}`, sft+"--model model "),
		row("sft chosen of single answers", `{"prompt": "a", "completion": " b"}`, sft+"--model model --on chosen "),
		{"sft pairs without --on chosen", nil, sft + "--model model --data pairs.jsonl", 1, 0, ""},
		{"sft on something else", nil, sft + "--model model --data pairs.jsonl --on best", exitUsage, 0, ""},
		{"sft with a reference", nil, sft + "--model model --data pairs.jsonl --ref model", exitUsage, 0, ""},
		{"train by the likelihood", nil, train + " --loss nll", exitUsage, 0, ""},
		{"train with settings of sft", func(w *work) { w.write("run.yaml", "objective: likelihood\nloss: nll\n") }, train + " --config run.yaml", exitUsage, 0, ""},
		{"train resumes a run of sft", func(w *work) { w.did(sft + "--model model --data pairs.jsonl --on chosen") }, "train --resume --out out --quiet", exitUsage, 0, ""},

		begins("init with a bad config", 1, random, func(w *work) { w.field("config.json", "hidden_size", -1) }),
		begins("init of no model", 1, random, func(w *work) { w.field("config.json", "architectures", nil) }),
		begins("init nowhere", 1, sft+"--data single.jsonl --init nowhere.json --tokenizer model", none),
		begins("init without a tokenizer", 1, sft+"--data single.jsonl --init config.json", none),
		begins("init beside a model", exitUsage, random+" --model model", none),
		begins("tokenizer without init", exitUsage, sft+"--data single.jsonl --model model --tokenizer model", none),
		begins("tokenizer larger than the vocabulary", 1, random, func(w *work) { w.field("config.json", "vocab_size", 300) }),
		begins("init into another run", 1, random, func(w *work) { w.did(random) }),

		{"reward of single answers", func(w *work) { w.write("single.jsonl", `{"prompt": "a", "completion": " b"}`) }, reward + "--model model --data single.jsonl", 1, 0, ""},
		{"reward by another loss", nil, reward + "--model model --data pairs.jsonl --loss hinge", exitUsage, 0, ""},
		{"reward with beta", nil, reward + "--model model --data pairs.jsonl --beta 0.1", exitUsage, 0, ""},
		{"reward of rankings by a loss of pairs", nil, reward + "--model model --data ranked.jsonl", 1, 0, ""},
		{"reward of no model", nil, reward + "--model nowhere --data pairs.jsonl", 1, 0, ""},
		{"reward with two labels", func(w *work) {
			made(w)
			w.field("made/config.json", "id2label", map[string]string{"0": "good", "1": "bad"})
		}, reward + "--model made --data pairs.jsonl", 1, 0, ""},
		{"train a reward model", made, "train --model made --data pairs.jsonl --out out --quiet", 1, 0, ""},
		{"train with a reward model as reference", made, train + " --ref made", 1, 0, ""},
		{"score a reward model with a reference", made, "score --model made --ref model --data pairs.jsonl --out out.parquet", exitUsage, 0, ""},
	}
}
