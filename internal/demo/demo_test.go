package demo_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/internal/demo"
)

var seeds = []int64{0, 1, 2}

// write makes the demo's files and gives their folder.
func write(t *testing.T, seed int64) (dir string, p demo.Preferences) {
	t.Helper()
	dir, p = t.TempDir(), demo.NewPreferences(seed)
	for name, pairs := range map[string][]demo.Pair{"train.jsonl": p.Train, "control.jsonl": p.Control, "held-out.jsonl": p.HeldOut} {
		if err := demo.WriteRows(filepath.Join(dir, name), pairs); err != nil {
			t.Fatal(err)
		}
	}
	if err := demo.WriteModel(filepath.Join(dir, "model"), seed); err != nil {
		t.Fatal(err)
	}
	return dir, p
}

var files = []string{"train.jsonl", "control.jsonl", "held-out.jsonl", "model/config.json", "model/model.safetensors", "model/tokenizer.json", "model/tokenizer_config.json"}

// A seed gives the same bytes each time, and another seed other weights and pairs.
func TestSeedGivesTheBytes(t *testing.T) {
	read := func(dir, file string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	first, _ := write(t, 3)
	again, _ := write(t, 3)
	other, _ := write(t, 4)
	for _, file := range files {
		made := read(first, file)
		if !bytes.Equal(made, read(again, file)) {
			t.Errorf("%s differs between two runs of one seed", file)
		}
		if depends := strings.HasSuffix(file, ".jsonl") || strings.HasSuffix(file, ".safetensors"); depends == bytes.Equal(made, read(other, file)) {
			t.Errorf("%s: another seed changes it: %v, want %v", file, !depends, depends)
		}
	}
}

// words are the two that a prompt names, in the order of the alphabet.
func words(t *testing.T, p demo.Pair) string {
	t.Helper()
	first, second, ok := strings.Cut(p.Prompt, " and the ")
	if !ok {
		t.Fatalf("prompt %q", p.Prompt)
	}
	pair := []string{first[strings.LastIndex(first, " ")+1:], second}
	slices.Sort(pair)
	return strings.Join(pair, " ")
}

// No pair of words of a held-out prompt stands in a prompt to train on, though each word does.
func TestHeldOutPromptsAreNew(t *testing.T) {
	_, p := write(t, 0)
	seen, single := map[string]bool{}, map[string]bool{}
	for _, pair := range p.Train {
		both := words(t, pair)
		seen[both] = true
		for word := range strings.FieldsSeq(both) {
			single[word] = true
		}
	}
	for _, pair := range p.HeldOut {
		both := words(t, pair)
		if seen[both] {
			t.Errorf("the words %q of a held-out prompt are trained on", both)
		}
		for word := range strings.FieldsSeq(both) {
			if !single[word] {
				t.Errorf("%q stands in no prompt to train on", word)
			}
		}
	}
}

// What an answer looks like without its prompt decides at most 0.6 of the held-out pairs.
func TestBaselinesKnowNothing(t *testing.T) {
	for _, seed := range seeds {
		p := demo.NewPreferences(seed)
		length, first := p.ByLength(), p.ByFirstWord()
		t.Logf("seed %d: length %.3f, first word %.3f", seed, length, first)
		if length > 0.6 || first > 0.6 || length < 0.4 || first < 0.4 {
			t.Errorf("seed %d: length alone decides %.3f, the first word alone %.3f; bar 0.6", seed, length, first)
		}
	}
}

// The baselines find what there is to be found: preferences for longer, or shorter, answers, and for a first word.
func TestBaselinesFindTheirRule(t *testing.T) {
	long, short := demo.Pair{Chosen: " a b c", Rejected: " a"}, demo.Pair{Chosen: " a", Rejected: " a b c"}
	for _, pair := range []demo.Pair{long, short} {
		p := demo.Preferences{Train: []demo.Pair{pair, pair}, HeldOut: []demo.Pair{pair, long, short}}
		if got := p.ByLength(); got != 2.0/3 {
			t.Errorf("%q before %q: length decides %v, want 2/3", pair.Chosen, pair.Rejected, got)
		}
	}
	p := demo.Preferences{Train: []demo.Pair{{Chosen: " yes it is", Rejected: " no it is not"}},
		HeldOut: []demo.Pair{{Chosen: " yes", Rejected: " no"}, {Chosen: " so", Rejected: " thus"}}}
	if got := p.ByFirstWord(); got != 0.75 {
		t.Errorf("the first word decides %v, want 1 of the pair that it tells and half of the other: 0.75", got)
	}
}

// The control has the pairs of the training set, one half of them changed over.
func TestControlIsHalfChanged(t *testing.T) {
	p := demo.NewPreferences(0)
	changed := 0
	for i, pair := range p.Control {
		of := p.Train[i]
		if pair.Chosen == of.Rejected && pair.Rejected == of.Chosen {
			changed++
		} else if pair != of {
			t.Fatalf("pair %d is %v, in the training set %v", i, pair, of)
		}
	}
	if 2*changed != len(p.Train) {
		t.Errorf("%d of %d pairs are changed over", changed, len(p.Train))
	}
}

// The tokenizer knows every word of every pair.
func TestTokenizerKnowsAllWords(t *testing.T) {
	dir, p := write(t, 0)
	tok, err := tokenizer.Load(filepath.Join(dir, "model"))
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	unknown, known := tok.ID("<unk>")
	if id, text, ok := tok.EOS(); !known || !ok || id != 1 || text != "</s>" {
		t.Fatalf("EOS %q (%d), <unk> %d", text, id, unknown)
	}
	for _, pair := range slices.Concat(p.Train, p.HeldOut) {
		for _, answer := range []string{pair.Chosen, pair.Rejected} {
			text := pair.Prompt + answer
			ids, _, err := tok.Encode(text)
			if err != nil || len(ids) != len(strings.Fields(text)) || slices.Contains(ids, unknown) {
				t.Fatalf("%q becomes %v (%v)", text, ids, err)
			}
		}
	}
}

// The shape's tokenizer knows every word of reviews: a token a word, and the same text back. The same bytes each time.
func TestShapeKnowsReviews(t *testing.T) {
	dir, again := t.TempDir(), t.TempDir()
	shape := demo.Shape{Hidden: 8, Intermediate: 8, Layers: 1, Heads: 2, KVHeads: 1, Positions: 128}
	for _, to := range []string{dir, again} {
		if err := demo.WriteShape(to, shape, demo.Films().Words()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"config.json", "tokenizer.json", "tokenizer_config.json"} {
		first, err := os.ReadFile(filepath.Join(dir, name))
		second, err2 := os.ReadFile(filepath.Join(again, name))
		if err != nil || err2 != nil || !bytes.Equal(first, second) {
			t.Errorf("%s differs between two runs (%v, %v)", name, err, err2)
		}
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	unknown, _ := tok.ID("<unk>")
	for _, r := range demo.NewCorpus(6, 1000, 0, 0, 0).Train {
		text := r.Prompt + r.Completion
		ids, _, err := tok.Encode(text)
		if err != nil || len(ids) != len(strings.Fields(r.Prompt))+r.Tokens()-1 || slices.Contains(ids, unknown) || len(ids) >= shape.Positions {
			t.Fatalf("%q becomes %v (%v)", text, ids, err)
		}
		if back, err := tok.Decode(ids); err != nil || back != text {
			t.Fatalf("%q comes back as %q (%v)", text, back, err)
		}
	}
}

// What a pipeline makes up is there: as many rows as its settings say, of reviews that the data's reader takes, and a shape. The same bytes for a seed.
func TestPipelineWrites(t *testing.T) {
	p, dir, again := demo.NewPipeline(), t.TempDir(), t.TempDir()
	if want := p.Learn.Steps * p.Learn.Batch; p.Reviews != want {
		t.Errorf("%d reviews for %d in all steps", p.Reviews, want)
	}
	p.Reviews, p.HeldOut, p.Prompts, p.Fresh = 40, 10, 20, 30
	for _, to := range []string{dir, again} {
		if _, err := p.Write(to, 5); err != nil {
			t.Fatal(err)
		}
	}
	for name, rows := range map[string]int{demo.ReviewsFile: 40, demo.HeldOutFile: 10, demo.PromptsFile: 20, demo.FreshFile: 30, demo.InitFolder + "/config.json": 0, demo.InitFolder + "/tokenizer.json": 0} {
		first, err := os.ReadFile(filepath.Join(dir, name))
		second, err2 := os.ReadFile(filepath.Join(again, name))
		if err != nil || err2 != nil || !bytes.Equal(first, second) {
			t.Errorf("%s differs between two runs (%v, %v)", name, err, err2)
		}
		if lines := bytes.Count(first, []byte("\n")); rows > 0 && lines != rows {
			t.Errorf("%s has %d rows, want %d", name, lines, rows)
		}
	}
	n := 0
	for g, err := range datasets.Read([]string{filepath.Join(dir, demo.ReviewsFile)}, datasets.Options{}) {
		if err != nil || len(g.Completions) != 1 {
			t.Fatalf("row %d is read as %v (%v)", n, g, err)
		}
		n++
	}
	if n != 40 {
		t.Errorf("%d reviews are read", n)
	}
}

// A short run learns what holds for held-out pairs, and from shuffled labels learns nothing.
func TestShortRunLearns(t *testing.T) {
	dir, _ := write(t, 0)
	tok, err := tokenizer.Load(filepath.Join(dir, "model"))
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	measure := func(name string) dpo.Evaluation {
		c, err := dpo.NewConfig("paper")
		if err != nil {
			t.Fatal(err)
		}
		c.Beta, c.Optimizer, c.LR, c.Warmup, c.MaxGradNorm, c.Schedule = 0.5, "adamw", 3e-3, 5, 1, "linear"
		c.Batch, c.Steps, c.SaveEvery = 32, 64, 0
		c.Model, c.Data, c.EvalData = filepath.Join(dir, "model"), []string{filepath.Join(dir, name+".jsonl")}, []string{filepath.Join(dir, "held-out.jsonl")}
		c.Out = filepath.Join(dir, "run-"+name)
		trainer, err := dpo.NewTrainer(c, tok, false)
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		for _, err := range trainer.Run(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
		}
		return *trainer.Summary().Evaluation
	}
	learnt, control := measure("train"), measure("control")
	t.Logf("accuracy on held-out pairs %.3f, from shuffled labels %.3f", learnt.Accuracies, control.Accuracies)
	if learnt.Accuracies < 0.8 || learnt.Loss > 0.6 {
		t.Errorf("held out: accuracy %.3f (bar 0.8), loss %.3f (bar 0.6)", learnt.Accuracies, learnt.Loss)
	}
	if control.Accuracies < 0.4 || control.Accuracies > 0.6 || control.Loss < 0.69 {
		t.Errorf("from shuffled labels: accuracy %.3f (0.4 to 0.6), loss %.3f (at least 0.69)", control.Accuracies, control.Loss)
	}
}
