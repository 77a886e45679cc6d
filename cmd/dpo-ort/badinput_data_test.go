package main

import (
	"math"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
)

const goodRow = `{"prompt": "the cat", "chosen": " sat", "rejected": " ran"}` + "\n"

// trainOn is train with other data.
func trainOn(data string) string { return strings.Replace(train, "pairs.jsonl", data, 1) }

// badData are files that cannot be read.
func badData() []badCase {
	lines := func(name, text string) badCase {
		return badCase{"JSON Lines " + name, func(w *work) { w.write("bad.jsonl", text) }, trainOn("bad.jsonl"), 1, 0, ""}
	}
	file := func(name, path, text string) badCase {
		return badCase{name, func(w *work) { w.write(path, text) }, trainOn(path), 1, 0, ""}
	}
	return []badCase{
		{"Parquet cut in half", func(w *work) {
			text := w.read("pairs.parquet")
			w.write("half.parquet", text[:len(text)/2])
		}, trainOn("half.parquet"), 1, 0, ""},
		{"Parquet page broken", func(w *work) {
			text := w.read("pairs.parquet")
			w.write("broken.parquet", text[:200]+strings.Repeat("\xff", 300)+text[500:])
		}, trainOn("broken.parquet"), 1, 0, ""},
		file("Parquet empty", "empty.parquet", ""),
		file("Parquet garbage", "garbage.parquet", strings.Repeat("garbage ", 100)),
		{"Parquet columns missing", func(w *work) {
			writeParquet(w, "bad.parquet", struct {
				Prompt string `parquet:"prompt"`
				Good   string `parquet:"good"`
			}{"a", "b"})
		}, trainOn("bad.parquet"), 1, 0, ""},
		{"Parquet column of numbers", func(w *work) {
			writeParquet(w, "bad.parquet", struct {
				Prompt   string `parquet:"prompt"`
				Chosen   int64  `parquet:"chosen"`
				Rejected string `parquet:"rejected"`
			}{"a", 1, "b"})
		}, trainOn("bad.parquet"), 1, 0, ""},
		{"Parquet nested null", func(w *work) {
			text := " b"
			writeParquet(w, "bad.parquet", struct {
				Prompt      string    `parquet:"prompt"`
				Completions []*string `parquet:"completions,list" parquet-element:",optional"`
				Ranks       []int64   `parquet:"ranks,list"`
			}{"a", []*string{&text, nil}, []int64{1, 2}})
		}, trainOn("bad.parquet"), 1, 0, ""},
		{"Parquet margin NaN", func(w *work) {
			writeParquet(w, "bad.parquet", struct {
				Prompt   string  `parquet:"prompt"`
				Chosen   string  `parquet:"chosen"`
				Rejected string  `parquet:"rejected"`
				Margin   float64 `parquet:"margin"`
			}{"a", " b", " c", math.NaN()})
		}, trainOn("bad.parquet"), 1, 0, ""},
		lines("bad line", goodRow+`{"prompt": "a", "chosen": `),
		lines("line no object", goodRow+"[1, 2]\n"),
		lines("two objects a line", strings.TrimSpace(goodRow)+goodRow),
		lines("invalid UTF-8", goodRow+"{\"prompt\": \"\xff\", \"chosen\": \"b\", \"rejected\": \"c\"}\n"),
		lines("half a surrogate pair", `{"prompt": "\ud83d", "chosen": "b", "rejected": "c"}`),
		lines("NUL", `{"prompt": "a\u0000", "chosen": "b", "rejected": "c"}`),
		lines("NUL bytes", goodRow+"\x00\x00\x00\x00\n"),
		lines("empty", ""),
		lines("blank", "\n \n\t\n"),
		lines("columns missing", `{"question": "a", "answer": "b"}`),
		lines("rejected missing", `{"prompt": "a", "chosen": "b"}`),
		{"JSON Lines columns missing later", func(w *work) { w.write("bad.jsonl", goodRow+`{"prompt": "a", "chosen": "b"}`) }, trainOn("bad.jsonl"), 0, 0, ""},
		lines("of two layouts", `{"prompt": "a", "chosen": "b", "rejected": "c", "completions": ["b", "c"], "scores": [1, 0]}`),
		lines("with a question for a prompt", `{"question": "a", "chosen": "b", "rejected": "c"}`),
		lines("with a column too many", `{"instruction": "a", "chosen": "b", "rejected": "c", "output": "b"}`),
		lines("a role in numbers", `{"prompt": "a", "chosen": [{"role": 1, "content": "b"}], "rejected": "c"}`),
		lines("two prompts", `{"chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "rejected": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]}`),
		lines("Alpaca's without an instruction", `{"instruction": null, "input": "", "output": ["b", "c"]}`),
		lines("ShareGPT's with a call", `{"conversations": [{"from": "function_call", "value": "{}"}], "chosen": {"from": "gpt", "value": "b"}, "rejected": {"from": "gpt", "value": "c"}}`),
		lines("HH's of two prompts", `{"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"}`),
		{"columns of no such name", nil, train + " --columns question=prompt", 2, 0, ""},
		file("JSON array cut", "bad.json", "["+goodRow+`, {"prompt": "a`),
		file("JSON array without end", "bad.json", "["+goodRow),
		file("JSON empty", "bad.json", ""),
		file("JSON a number", "bad.json", "1"),
		file("extension unknown", "pairs.csv", "prompt,chosen\n"),
		{"folder without data", func(w *work) { w.write("folder/notes.txt", "no data") }, trainOn("folder"), 1, 0, ""},
		{"data nowhere", nil, trainOn("nowhere.jsonl"), 1, 0, ""},
		{"glob of nothing", nil, trainOn("nowhere/*.parquet"), 1, 0, ""},
		{"glob broken", nil, trainOn("[.parquet"), 1, 0, ""},
		{"eval data nowhere", nil, train + " --eval-data nowhere.jsonl", 1, 0, ""},
		{"inspect data nowhere", nil, "data inspect --data nowhere.jsonl", 1, 0, ""},
		{"validate broken rows", func(w *work) { w.write("bad.jsonl", goodRow+"[]\n") }, "data validate --data bad.jsonl", 1, 0, ""},
		{"convert broken rows", func(w *work) { w.write("bad.jsonl", goodRow+"[]\n") }, "data convert --data bad.jsonl --out out.parquet", 1, 0, ""},
		{"convert to an unknown format", nil, "data convert --data pairs.jsonl --out out.csv", 1, 0, ""},
		{"convert to a folder that is not there", nil, "data convert --data pairs.jsonl --out nowhere/out.parquet", 1, 0, ""},
	}
}

// badRows are rows that can be read, but not be used.
func badRows() []badCase {
	row := func(name, text string, code int) badCase {
		return badCase{"row " + name, func(w *work) { w.write("bad.jsonl", text) }, trainOn("bad.jsonl") + " --loss plackett_luce", code, 0, ""}
	}
	return []badCase{
		row("ranks with gaps and ties", `{"prompt": "a", "completions": [" b", " c", " d"], "ranks": [1, 7, 7]}`, 0),
		row("ranks too few", `{"prompt": "a", "completions": [" b", " c", " d"], "ranks": [1, 2]}`, 1),
		row("ranks no numbers", `{"prompt": "a", "completions": [" b", " c"], "ranks": ["first", "second"]}`, 1),
		row("ranks null", `{"prompt": "a", "completions": [" b", " c"], "ranks": null}`, 1),
		row("one completion", `{"prompt": "a", "completions": [" b"], "ranks": [1]}`, 1),
		row("no completions", `{"prompt": "a", "completions": [], "ranks": []}`, 1),
		row("completions varying", `{"prompt": "a", "completions": [" b", " c"], "ranks": [1, 2]}`+"\n"+
			`{"prompt": "a", "completions": [" b", " c", " d"], "ranks": [1, 2, 3]}`, 0),
		row("empty answers", `{"prompt": "a", "chosen": "", "rejected": " b"}`, 1),
		row("equal answers", `{"prompt": "a", "chosen": " b", "rejected": " b"}`, 1),
		row("margin no number", `{"prompt": "a", "chosen": " b", "rejected": " c", "margin": "wide"}`, 1),
		row("one labelled answer", `{"prompt": "a", "completion": " b", "label": true}`, 1),
		{"kto without labels", func(w *work) { w.write("bad.jsonl", `{"prompt": "a", "completion": " b"}`) }, trainOn("bad.jsonl") + " --loss kto", 1, 0, ""},
		{"kto of labels in words", func(w *work) { w.write("bad.jsonl", `{"prompt": "a", "completion": " b", "label": "good"}`) }, trainOn("bad.jsonl") + " --loss kto", 1, 0, ""},
		{"kto of rankings", nil, trainOn("ranked.jsonl") + " --loss kto", 1, 0, ""},
		{"rankings with a loss of pairs", nil, trainOn("ranked.jsonl") + " --loss sigmoid", 1, 0, ""},
		{"score strict", func(w *work) { w.write("bad.jsonl", goodRow+`{"prompt": "a", "chosen": "", "rejected": "b"}`) },
			"score --model model --data bad.jsonl --out out.parquet --strict", 1, 0, ""},
	}
}

// writeParquet writes a file of one row.
func writeParquet[T any](w *work, name string, row T) {
	w.t.Helper()
	f, err := os.Create(w.path(name))
	w.check(err)
	w.check(parquet.Write(f, []T{row}))
	w.check(f.Close())
}
