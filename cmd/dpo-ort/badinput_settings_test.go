package main

import (
	"os"
	"path/filepath"
	"strings"
)

// badSettings are command lines and settings that make no sense.
func badSettings() []badCase {
	wrong := func(flags string) badCase {
		return badCase{"train " + flags, nil, train + " " + flags, exitUsage, 0, ""}
	}
	yaml := func(name, text string) badCase {
		return badCase{"YAML " + name, func(w *work) { w.write("run.yaml", text) }, train + " --config run.yaml", exitUsage, 0, ""}
	}
	scored := func(flags string) badCase {
		return badCase{"score " + flags, nil, score + " " + flags, exitUsage, 0, ""}
	}
	sampled := func(flags string) badCase {
		return badCase{"generate " + flags, nil, generate + " " + flags, exitUsage, 0, ""}
	}
	usage := func(args string) badCase { return badCase{args, nil, args, exitUsage, 0, ""} }
	return []badCase{
		wrong("--beta -1"), wrong("--beta NaN"), wrong("--beta many"), wrong("--label-smoothing 0.5"), wrong("--batch 0"),
		wrong("--loss hings"), wrong("--optimizer adam"), wrong("--schedule cosin"), wrong("--preset fast"), wrong("--dtype float16"), wrong("--dtype bfloat16"),
		wrong("--dtype half"), wrong("--tf32"), wrong("--loss-scale 8"), wrong("--dtype float16 --loss-scale fast --tf32"), scored("--dtype float16"), scored("--tf32"),
		wrong("--offload states"), wrong("--offload parameter --device guarded"), scored("--offload parameters"), scored("--offload states --device guarded"),
		wrong("--device gpu"), wrong("--rung half"), wrong("--max-prompt-length 512"), wrong("--max-length 1"), wrong("--betta 1"),
		wrong("--steps -1"), wrong("--epochs 0 --steps 0"), wrong("--lr -1"), wrong("--lr Inf"), wrong("--warmup -2"), wrong("--eos maybe"), wrong("more.jsonl"),
		wrong("--config nowhere.yaml"), wrong("--threads -1"), wrong("--ref-columns maybe"), wrong("--beta"),
		wrong("--loss simpo --loss-settings gama=1"), wrong("--loss-settings gamma=1"), wrong("--loss discopop --loss-settings tau=0"), wrong("--loss-settings gamma"),
		wrong("--loss sigmoid=0.8,hings=1"), wrong("--loss sigmoid=0,sft=1"), wrong("--loss sigmoid=1,nll=1"), wrong("--loss cpo=1,odpo=1"),
		wrong("--loss exo_pair"), wrong("--loss apo_zero --f-divergence js_divergence"), wrong("--f-divergence js"), wrong("--loss simpo --ref model"),
		wrong("--ld-alpha 1.5"), wrong("--ld-alpha half"), wrong("--loss kto --ld-alpha 0.5"), wrong("--loss aot --use-weighting"), wrong("--loss sigmoid=1,bco_pair=1 --use-weighting"), wrong("--ref-model-sync-steps 5"),
		wrong("--sync-ref-model --ref-model-mixup-alpha 2"), wrong("--sync-ref-model --ref-model-sync-steps -1"), wrong("--sync-ref-model --reference-free"),
		wrong("--sync-ref-model --ref-columns require"), wrong("--loss kto=1,sft=1"), wrong("--loss kto --loss-settings desirable_weight=-1"), wrong("--loss kto --reference-free"),
		wrong("--reference-free --ref model"), wrong("--loss nowhere.onnx"),
		wrong("--optimizer moun"), wrong("--schedule wsd"), wrong("--optimizer-settings beta1"), wrong("--optimizer adamw --optimizer-settings beta1=1,eps=-1,bta2=0.9"),
		wrong("--optimizer adafactor --optimizer-settings scale_parameter=maybe"), wrong("--schedule-settings floor=1"),
		wrong("--schedule linear --schedule-settings min_lr=1e-7"), wrong("--schedule cosine_with_min_lr"),
		wrong("--schedule cosine_with_min_lr --schedule-settings min_lr=1e-3,min_lr_rate=0.1"), wrong("--schedule cosine_with_min_lr --schedule-settings min_lr=1"),
		wrong("--schedule warmup_stable_decay --schedule-settings num_decay_steps=1000"), wrong("--schedule warmup_stable_decay --schedule-settings decay_type=cosin"),
		yaml("optimizer-settings", "optimizer: adamw\noptimizer-settings: {beta2: 1.5}\n"), yaml("optimizer-settings no map", "optimizer-settings: [0.9]\n"),
		usage("export --model model --out out --optimizer sgd --optimizer-settings beta1=0.5"),
		yaml("unknown key", "betta: 1\n"), yaml("not parsable", "beta: [1\n"), yaml("a list", "- beta\n"), yaml("wrong type", "batch: many\n"),
		scored("--beta 0"), scored("--shard 3/2"), scored("--shard junk"), scored("--shard 0/0"), scored("--columns question=prompt"),
		scored("--columns prompt"), scored("--max-length -1"), scored("--eos maybe"), scored("--device gpu"),
		sampled("--samples 0"), sampled("--temperature -1"), sampled("--temperature NaN"), sampled("--top-p 0"), sampled("--top-p 1.5"), sampled("--top-k -1"),
		sampled("--min-p 2"), sampled("--max-tokens 0"), sampled("--columns question=prompt"), sampled("--device gpu"), sampled("--stop="), sampled("--temperatur 1"),
		usage("generate"), usage("trian"), usage("data tune"), usage("train --resume"), usage("score"), usage("report"), usage("label"), usage("eval"), usage("frontier"), usage("sft"), usage("reward"), usage("eval --model model --out out"), usage("eval --model model --data pairs.jsonl --best-of 0 --out out"), usage("eval --model model --data pairs.jsonl --beta 0 --out out"), usage("label --data ranked.jsonl --reward lengh --out out"), usage("label --data ranked.jsonl --reward regex --out out"), usage("label --data ranked.jsonl --reward length --as twins --out out"), usage("frontier --plan none.yaml --out out"), usage("export"), usage("data validate"),
		usage("export --model model --print nothing"), usage("export --model model --out out --rung half"),
		usage("export --model model --out out --loss ipo-mean"), usage("data convert --data pairs.jsonl"),
		usage("export --model model --out out --loss simpo --f-divergence js_divergence"), {"odpo without margins", nil, train + " --loss odpo", 1, 0, ""},
		lossFile("no-losses"), lossFile("shape"), lossFile("input"), lossFile("no-gradient"), lossFile("no-onnx"),
	}
}

// badOutputs are places that cannot be written to, or hold something else.
func badOutputs() []badCase {
	ran := func(w *work) { w.did(train + " --lr 1e-3 --warmup 0") }
	resume := "train --resume --out out --quiet"
	return []badCase{
		{"out is a file", func(w *work) { w.write("out", "a file") }, train, 1, 0, ""},
		{"out below a file", func(w *work) { w.write("out", "a file") }, train + " --out out/below", 1, 0, ""},
		{"out holds another run", ran, train, 1, 0, ""},
		{"out not empty", func(w *work) { w.write("out/file", "a file") }, train, 1, 0, ""},
		{"resume of none", nil, resume, 1, 0, ""},
		{"resume with other settings", ran, resume + " --beta 0.7", exitUsage, 0, ""},
		{"resume with other data", func(w *work) {
			ran(w)
			w.write("pairs.jsonl", w.read("pairs.jsonl")+goodRow)
		}, resume, 1, 0, ""},
		{"resume with another model", func(w *work) {
			ran(w)
			w.weights(func(s *stored) { s.set("model.norm.weight", 0, 0.5) })
		}, resume, 1, 0, ""},
		{"resume after the settings were edited", func(w *work) {
			ran(w)
			w.write("out/run/config.yaml", strings.Replace(w.read("out/run/config.yaml"), "lr: 0.001", "lr: 0.002", 1))
		}, resume, 1, 0, ""},
		{"resume with other graphs", func(w *work) {
			ran(w)
			w.field("out/run/artifacts/manifest.json", "loss", "hinge")
		}, resume, 1, 0, ""},
		{"early-stop without held-out data", nil, train + " --early-stop 3", exitUsage, 0, ""},
		{"loss not finite", nil, train + " --optimizer sgd --lr 1e30 --warmup 0 --steps 6 --max-grad-norm 0 --save-every 1 --no-shuffle", 1, 0, "out"},

		{"score out exists", func(w *work) { w.write("out.parquet", "a file") }, score, 1, 0, ""},
		{"score out's folder missing", nil, "score --model model --data pairs.jsonl --out nowhere/out.parquet", 1, 0, ""},
		{"score parts of another job", func(w *work) { w.write("out.parquet.parts/job.json", `{"beta": 0.7}`) }, score, 1, 0, ""},
		{"generate out exists", func(w *work) { w.write("out.parquet", "a file") }, generate, 1, 0, ""},
		{"generate parts of another job", func(w *work) { w.write("out.parquet.parts/job.json", `{"seed": 7}`) }, generate, 1, 0, ""},
		{"generate without prompts", nil, generate + " --columns prompt=nothing", 1, 0, ""},
		{"generate strict, prompt too long", func(w *work) { w.field("model/config.json", "max_position_embeddings", 3) }, generate + " --strict", 1, 0, ""},
		{"generate prompts too long", func(w *work) { w.field("model/config.json", "max_position_embeddings", 3) }, generate, 0, 0, ""},
		{"generate messages", func(w *work) {
			w.write("pairs.jsonl", `{"prompt": [{"role": "user", "content": "a"}], "chosen": "b", "rejected": "c"}`+"\n")
		}, generate, 1, 0, ""},
		{"generate no EOS", func(w *work) {
			w.field("model/config.json", "eos_token_id", nil)
			w.field("model/tokenizer_config.json", "eos_token", nil)
		}, generate, 0, 0, ""},
		{"generate EOS no id", func(w *work) { w.write("model/generation_config.json", `{"eos_token_id": "end"}`) }, generate, 1, 0, ""},
		{"score columns there already", func(w *work) { w.did("score --model model --data pairs.jsonl --out pairs2.parquet") },
			"score --model model --data pairs2.parquet --out out.parquet", 1, 0, ""},
		{"ref columns stale", func(w *work) {
			w.did("score --model model --ref model --data pairs.jsonl --out scored.parquet --max-length 512")
		}, trainOn("scored.parquet") + " --max-length 400", 1, 0, ""},
		{"ref columns required", nil, train + " --ref-columns require", 1, 0, ""},
		{"export over a file", func(w *work) { w.write("out", "a file") }, "export --model model --out out", 1, 0, ""},

		{"report of no run", nil, "report --run model", 1, 0, ""},
		{"report of a damaged line", func(w *work) {
			w.write("out/run/metrics.jsonl", "{\"step\":1,\"loss\":0.7}\n{\"step\":2,\"lo")
		}, "report --run out", 1, 0, ""},
		{"report of an unknown field", func(w *work) { w.write("frontier.json", `{"pionts": []}`) }, "report --frontier frontier.json", 1, 0, ""},
		{"report of samples without answers", func(w *work) { w.write("prompts.jsonl", `{"prompt": "a"}`) }, "report --samples prompts.jsonl", 1, 0, ""},
		{"report of samples that are gone", nil, "report --samples nowhere.parquet", 1, 0, ""},
		{"report into no folder", func(w *work) { w.write("out/run/metrics.jsonl", "") }, "report --run out --out nowhere/report.html", 1, 0, ""},
		{"report of plots over a file", func(w *work) { w.write("out/run/metrics.jsonl", "") }, "report --run out --plots pairs.jsonl", 1, 0, ""},

		{"doctor without the device", nil, "doctor --device gpu", 1, 0, ""},

		{"disk full convert", func(w *work) { w.write("out.jsonl", "the last good file") }, "data convert --data pairs.parquet --out out.jsonl --overwrite", 1, 1, ""},
		{"disk full score", func(w *work) { w.write("out.parquet", "the last good file") }, score + " --overwrite", 1, 1, "out.parquet.parts"},
		{"disk full train", nil, train, 1, 100, "out"},
		{"disk full export", nil, "export --model model --out graphs", 1, 1, "graphs"},
	}
}

// lossFile trains by a loss that make_lossfiles.py wrote wrongly.
func lossFile(name string) badCase {
	return badCase{"loss " + name, func(w *work) {
		text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "loss", "wrong-"+name+".onnx"))
		w.check(err)
		w.write("own.onnx", string(text))
	}, train + " --loss own.onnx", exitUsage, 0, ""}
}
