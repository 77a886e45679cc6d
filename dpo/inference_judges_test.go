package dpo

import (
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
)

// greedyByRuntimes prints what ONNX Runtime GenAI and Optimum put after the two prompts of each folder: each alone, and both in a batch, the
// shorter padded. GenAI ends at EOS; Optimum is told of none.
const greedyByRuntimes = `
import json, logging, sys
logging.disable(logging.WARNING)
import numpy, torch
import onnxruntime_genai as genai
from optimum.onnxruntime import ORTModelForCausalLM

def by_genai(model, rows, most):
    length = len(rows[0])
    params = genai.GeneratorParams(model)
    params.set_search_options(max_length=length + most, do_sample=False, batch_size=len(rows))
    generator = genai.Generator(model, params)
    generator.append_tokens(numpy.array(rows, dtype=numpy.int32))
    while not generator.is_done():
        generator.generate_next_token()
    return [[int(i) for i in generator.get_sequence(r)[length:]] for r in range(len(rows))]

def by_optimum(model, rows, mask, most):
    length = len(rows[0])
    out = model.generate(input_ids=torch.tensor(rows), attention_mask=torch.tensor(mask), max_new_tokens=most, do_sample=False,
                         pad_token_id=0, eos_token_id=None)
    return out[:, length:].tolist()

cases = []
for case in json.loads(sys.argv[1]):
    folder, prompts, most = case["Folder"], case["Prompts"], case["Most"]
    config = json.load(open(folder + "/genai_config.json"))["model"]
    width = max(len(p) for p in prompts)
    hidden = [width - len(p) for p in prompts]
    left = [[0] * n + p for n, p in zip(hidden, prompts)]
    right = [p + [config["pad_token_id"]] * n for n, p in zip(hidden, prompts)]  # as GenAI's own tokenizer pads, and by which it makes the mask
    model = genai.Model(folder)
    got = {"GenAI": [by_genai(model, [p], most)[0] for p in prompts],
           "GenAI, padded on the right": by_genai(model, right, most)}
    model = ORTModelForCausalLM.from_pretrained(folder, use_cache=True)
    mask = [[0] * n + [1] * len(p) for n, p in zip(hidden, prompts)]
    got["Optimum"] = [by_optimum(model, [p], [[1] * len(p)], most)[0] for p in prompts]
    got["Optimum, padded on the left"] = by_optimum(model, left, mask, most)
    cases.append(got)
print(json.dumps(cases))`

// judgedExport is a folder that the two are to continue prompts by, and what generate does.
type judgedExport struct {
	Folder  string
	Prompts [][]int32
	Most    int
	greedy  [][]int32
	eos     []int32
}

func judge(t *testing.T, dir string, prompts [][]int32, set func(*InferenceConfig)) judgedExport {
	t.Helper()
	j := judgedExport{Prompts: prompts, Most: 50}
	switch filepath.Base(dir) {
	case "tiny-llama-dynamic", "tiny-phi3-long": // of contexts of 16 and 18 tokens, which generate keeps to
		j.Most = 9
	}
	j.Folder, _ = deploy(t, dir, set)
	j.greedy = greedyIDs(t, dir, prompts, j.Most)
	g, err := models.ReadGeneration(j.Folder)
	if err != nil {
		t.Fatal(err)
	}
	j.eos = g.EOS
	return j
}

// ONNX Runtime GenAI and Optimum put after prompts, alone and in padded batches, the greedy text that generate does, 50 tokens long: by a model
// of every architecture, one of an adapter and its base, and a real one.
func TestInferenceReadByRuntimes(t *testing.T) {
	python := golden.Runtimes(t)
	prompts := [][]int32{{5, 9, 200, 33, 17, 6, 7}, {70, 8}}
	var all []judgedExport
	for _, dir := range inferred(t) {
		all = append(all, judge(t, dir, prompts, nil))
	}
	all = append(all, judgeStories(t)...)
	cases, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-W", "ignore", "-c", greedyByRuntimes, string(cases))
	var said strings.Builder
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	var got []map[string][][]int32
	if err := json.Unmarshal(text[strings.LastIndex(strings.TrimSpace(string(text)), "\n")+1:], &got); err != nil || len(got) != len(all) {
		t.Fatalf("%d of %d cases, %v", len(got), len(all), err)
	}
	for i, j := range all {
		for _, by := range slices.Sorted(maps.Keys(got[i])) {
			for p, ids := range got[i][by] {
				want := j.greedy[p]
				if strings.HasPrefix(by, "GenAI") {
					ids, want = untilEnd(ids, j.eos), untilEnd(want, j.eos)
				}
				if !slices.Equal(ids, want) {
					t.Errorf("%s by %s, prompt %d: %v, generate has %v", filepath.Base(j.Folder), by, p, ids, want)
				}
			}
		}
	}
	t.Logf("%d models", len(all))
}

// untilEnd is a text up to the first token that ends it, which GenAI leaves out.
func untilEnd(ids, eos []int32) []int32 {
	if at := slices.IndexFunc(ids, func(id int32) bool { return slices.Contains(eos, id) }); at >= 0 {
		return ids[:at]
	}
	return ids
}

// judgeStories is a real model, where it is present.
func judgeStories(t *testing.T) []judgedExport {
	t.Helper()
	dir := filepath.Join(golden.Root(t), "..", "shared", "data", "models", "stories260K-hf")
	if !there(dir) {
		return nil
	}
	var prompts [][]int32
	for _, text := range []string{"Once upon a time there was a", "Lily"} {
		ids, err := datasets.EncodePrompt(loadTokenizer(t, dir), datasets.Text{String: text})
		if err != nil {
			t.Fatal(err)
		}
		prompts = append(prompts, ids)
	}
	return []judgedExport{judge(t, dir, prompts, nil)}
}
