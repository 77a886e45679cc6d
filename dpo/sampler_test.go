package dpo

import (
	"context"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// mixedPrompts are prompts of unequal length.
var mixedPrompts = []string{"the cat", "she was very", "a", "the big red dog sat on the mat and then he ran to see the sun", "he", "glad to see it and"}

func generateConfig(dir string, change func(*GenerateConfig)) GenerateConfig {
	c := NewGenerateConfig()
	c.Model, c.MaxTokens, c.Seed = dir, 24, 7
	if change != nil {
		change(&c)
	}
	return c
}

func openSampler(t *testing.T, dir string, change func(*GenerateConfig)) *Sampler {
	t.Helper()
	s, err := NewSampler(generateConfig(dir, change), loadTokenizer(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func texts(prompts []string) (out []datasets.Text) {
	for _, p := range prompts {
		out = append(out, datasets.Text{String: p})
	}
	return out
}

func mustSample(t *testing.T, s *Sampler, prompts []string) [][]Sample {
	t.Helper()
	out, err := s.Sample(context.Background(), 0, texts(prompts))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// scoredAgain gives log pi of ids after a prompt's by the graphs that score.
func scoredAgain(t *testing.T, n *network, prompt []int32, samples []Sample) []float64 {
	t.Helper()
	x := datasets.Example{Prompt: prompt}
	for _, s := range samples {
		x.Completions = append(x.Completions, datasets.Completion{IDs: s.IDs})
	}
	logps, err := n.logps([]datasets.Example{x})
	if err != nil {
		t.Fatal(err)
	}
	return logps
}

// The log-probabilities of samples are those that score gives their tokens, to 1e-5 a token: of all kinds of layers and of rotary
// embeddings, for prompts of unequal lengths, in rows that come and go.
func TestSampleLogProbsEqualScores(t *testing.T) {
	for _, model := range append([]string{"tiny-llama-bf16"}, gradientModels...) {
		for _, temperature := range []float64{1, 0.5, 0} {
			dir := golden.Testdata(t, "models", model)
			prompts := mixedPrompts
			if model == "tiny-llama-dynamic" || model == "tiny-phi3-long" { // whose context is 16 tokens, and 18
				prompts = []string{"the cat", "a", "he"}
			}
			s := openSampler(t, dir, func(c *GenerateConfig) { c.Samples, c.Batch, c.Temperature = 3, 4, temperature })
			n, err := openFrozen(dir, onnx.Float32, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			worst, tokens := 0.0, 0
			for i, samples := range mustSample(t, s, prompts) {
				ids, err := datasets.EncodePrompt(s.tok, datasets.Text{String: prompts[i]})
				if err != nil {
					t.Fatal(err)
				}
				for k, want := range scoredAgain(t, n, ids, samples) {
					worst = math.Max(worst, math.Abs(samples[k].LogProb-want)/float64(samples[k].Tokens))
					tokens += samples[k].Tokens
				}
			}
			if err := n.close(); err != nil {
				t.Fatal(err)
			}
			if worst > 1e-5 {
				t.Errorf("%s, temperature %v: a sample's log-probability is %.1e a token off, of %d tokens", model, temperature, worst, tokens)
			}
		}
	}
}

// continued is what greedy search puts after a prompt.
type continued struct {
	Prompt, IDs []int32
	Gap         float64 // the least between the two best logits
}

// generated is what transformers does: see scripts/golden/make_generate.py.
type generated struct {
	Greedy map[string][]continued
	Warped []struct {
		Settings struct {
			Temperature float64
			TopK        int     `json:"top_k"`
			TopP        float64 `json:"top_p"`
			MinP        float64 `json:"min_p"`
		}
		Logits []float64
		Probs  []float64
	}
}

func readGenerated(t *testing.T) (g generated) {
	t.Helper()
	golden.JSON(t, golden.Testdata(t, "golden", "generate.json"), &g)
	return g
}

// Greedy search takes the tokens that transformers' does.
func TestGreedyEqualsTransformers(t *testing.T) {
	all := readGenerated(t).Greedy
	for _, model := range architectureModels {
		all[model] = readJudged(t, model).Greedy
	}
	for model, cases := range all {
		t.Run(model, func(t *testing.T) { greedyEqualsTransformers(t, model, cases) })
	}
}

func greedyEqualsTransformers(t *testing.T, model string, cases []continued) {
	s := openSampler(t, golden.Testdata(t, "models", model), func(c *GenerateConfig) { c.Temperature, c.MaxTokens, c.Batch = 0, 50, 2 })
	var prompts []*prompt
	for _, c := range cases {
		prompts = append(prompts, &prompt{ids: c.Prompt, most: len(c.IDs), samples: make([]Sample, 1)})
	}
	if err := s.generators[0].run(context.Background(), slices.Clone(prompts)); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		if got := prompts[i].samples[0].IDs; !slices.Equal(got, c.IDs) {
			t.Errorf("after %v: %v, transformers has %v (least gap of logits %.1e)", c.Prompt, got, c.IDs, c.Gap)
		}
	}
}

// Top-k, top-p and min-p leave the tokens that transformers' warpers leave, with their probabilities.
func TestWarpersEqualTransformers(t *testing.T) {
	for _, w := range readGenerated(t).Warped {
		c := NewGenerateConfig()
		c.TopK, c.MinP = w.Settings.TopK, w.Settings.MinP
		if w.Settings.TopP > 0 {
			c.TopP = w.Settings.TopP
		}
		if w.Settings.Temperature > 0 {
			c.Temperature = w.Settings.Temperature
		}
		probs := softmax(w.Logits, c.Temperature)
		got, sum := make([]float64, len(probs)), 0.0
		for _, id := range c.kept(probs) {
			got[id] = float64(probs[id])
			sum += got[id]
		}
		for i := range got {
			if math.Abs(got[i]/sum-w.Probs[i]) > 1e-6 {
				t.Errorf("%+v: token %d has %v, transformers gives it %v", w.Settings, i, got[i]/sum, w.Probs[i])
			}
		}
	}
}

func softmax(logits []float64, temperature float64) []float32 {
	out, sum := make([]float32, len(logits)), 0.0
	for _, x := range logits {
		sum += math.Exp(x / temperature)
	}
	for i, x := range logits {
		out[i] = float32(math.Exp(x/temperature) / sum)
	}
	return out
}

// Greedy text of a real model is transformers'.
func TestGreedyStory(t *testing.T) {
	dir := golden.Shared(t, "models/stories260K-hf")
	var want struct {
		Prompt []int32 `json:"prompt_ids"`
		IDs    []int32 `json:"greedy_ids"`
		Text   string  `json:"greedy_text"`
	}
	golden.JSON(t, golden.Shared(t, "models/stories260K-hf/golden.json"), &want)
	s := openSampler(t, dir, func(c *GenerateConfig) { c.Temperature, c.MaxTokens = 0, len(want.IDs)-len(want.Prompt) })
	begin, err := s.tok.Decode(want.Prompt)
	if err != nil {
		t.Fatal(err)
	}
	got := mustSample(t, s, []string{begin})[0][0]
	if ids := slices.Concat(want.Prompt, got.IDs); !slices.Equal(ids, want.IDs) {
		t.Errorf("ids %v, want %v", ids, want.IDs)
	}
	if text := begin + got.Text; text != want.Text {
		t.Errorf("text %q, want %q", text, want.Text)
	}
}

// Frequencies of drawn tokens are the model's probabilities: a χ² test of the second token, through the cache, for each first one that
// is drawn often, with temperature and top-k. The bar is its 1 − 1e-4 quantile, by Wilson and Hilferty's cubes.
func TestSampleFrequencies(t *testing.T) {
	const samples, often, enough = 6000, 300, 5
	s := openSampler(t, golden.Testdata(t, "models", "tiny-llama"), func(c *GenerateConfig) {
		c.Samples, c.MaxTokens, c.Temperature, c.TopK = samples, 2, 0.9, 40
	})
	p := &prompt{ids: []int32{0, 40, 41}, most: 2, samples: make([]Sample, samples)}
	if err := s.generators[0].run(context.Background(), []*prompt{p}); err != nil {
		t.Fatal(err)
	}
	after := map[int32]map[int32]int{}
	for _, x := range p.samples {
		if len(x.IDs) == 2 {
			if after[x.IDs[0]] == nil {
				after[x.IDs[0]] = map[int32]int{}
			}
			after[x.IDs[0]][x.IDs[1]]++
		}
	}
	n, err := openFrozen(s.Model, onnx.Float32, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	statistic, freedom := 0.0, 0.0
	for first, counts := range after {
		drawn := 0
		for _, c := range counts {
			drawn += c
		}
		if drawn < often {
			continue
		}
		x, f := chiSquare(s.exactly(t, n, append(slices.Clone(p.ids), first)), counts, float64(drawn), enough)
		statistic, freedom = statistic+x, freedom+f
	}
	if freedom < 20 {
		t.Fatalf("%v degrees of freedom are too few", freedom)
	}
	const z = 3.719
	bar := freedom * math.Pow(1-2/(9*freedom)+z*math.Sqrt(2/(9*freedom)), 3)
	if t.Logf("chi-square %.1f of %v degrees of freedom, bar %.1f", statistic, freedom, bar); statistic > bar {
		t.Errorf("frequencies are not the model's: chi-square %.1f, bar %.1f", statistic, bar)
	}
}

// exactly is what a token after ids is drawn from, by the graphs that score.
func (s *Sampler) exactly(t *testing.T, n *network, ids []int32) []float64 {
	t.Helper()
	x := datasets.Example{Prompt: ids}
	for id := range n.model.Vocab {
		x.Completions = append(x.Completions, datasets.Completion{IDs: []int32{int32(id)}})
	}
	logps, err := n.logps([]datasets.Example{x})
	if err != nil {
		t.Fatal(err)
	}
	probs := softmax(logps, s.Temperature)
	out, sum := make([]float64, len(probs)), 0.0
	for _, id := range s.kept(probs) {
		out[id] = float64(probs[id])
		sum += out[id]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// chiSquare compares counts with probabilities; tokens expected less than enough times count together.
func chiSquare(probs []float64, counts map[int32]int, drawn, enough float64) (statistic, freedom float64) {
	rare, rarely := 0.0, 0.0
	for id, p := range probs {
		expected, got := p*drawn, float64(counts[int32(id)])
		if p == 0 && got > 0 {
			return math.Inf(1), 1
		}
		if expected < enough {
			rare, rarely = rare+expected, rarely+got
			continue
		}
		statistic += (got - expected) * (got - expected) / expected
		freedom++
	}
	if rare >= enough {
		statistic += (rarely - rare) * (rarely - rare) / rare
		freedom++
	}
	return statistic, freedom - 1
}

// The same seed gives the same texts in batches of 1, 3 and 16, other prompts beside or not: of over a thousand samples at most one
// differs, and there u lies within 1e-5 of the border between the two tokens.
func TestBatchesChangeNoText(t *testing.T) {
	dir := golden.Testdata(t, "models", "tiny-qwen3")
	var prompts []string
	for i := range 44 {
		prompts = append(prompts, mixedPrompts[i%len(mixedPrompts)]+strings.Repeat(" dog", i%5))
	}
	sample := func(batch, threads int) [][]Sample {
		s := openSampler(t, dir, func(c *GenerateConfig) { c.Samples, c.Batch, c.Threads = 24, batch, threads })
		return mustSample(t, s, prompts)
	}
	want := sample(16, 2)
	for _, batch := range []int{1, 3} {
		differ := 0
		for i, samples := range sample(batch, 1) {
			for k, got := range samples {
				if slices.Equal(got.IDs, want[i][k].IDs) {
					continue
				}
				differ++
				showNearTie(t, dir, prompts[i], i, k, got.IDs, want[i][k].IDs)
			}
		}
		if t.Logf("batches of %d: %d of %d samples differ from those of 16", batch, differ, 24*len(prompts)); differ > 1 {
			t.Errorf("batches of %d: %d samples differ", batch, differ)
		}
	}
}

// showNearTie fails unless two draws differ first where u is at a border of the exact running sums.
func showNearTie(t *testing.T, dir, text string, row, number int, a, b []int32) {
	t.Helper()
	s := openSampler(t, dir, nil)
	n, err := openFrozen(dir, onnx.Float32, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	ids, err := datasets.EncodePrompt(s.tok, datasets.Text{String: text})
	if err != nil {
		t.Fatal(err)
	}
	at, random := 0, s.randomFor(int64(row), number)
	u := random.Float64()
	for a[at] == b[at] {
		at, u = at+1, random.Float64()
	}
	sum, nearest := 0.0, 1.0
	for _, p := range s.exactly(t, n, slices.Concat(ids, a[:at])) {
		sum += p
		nearest = math.Min(nearest, math.Abs(sum-u))
	}
	if t.Logf("row %d, sample %d, token %d: %d or %d, u is %.1e from a border", row, number, at, a[at], b[at], nearest); nearest > 1e-5 {
		t.Errorf("row %d, sample %d: no near tie", row, number)
	}
}

// A sample ends where it should, and says why.
func TestSampleEnds(t *testing.T) {
	dir := golden.Testdata(t, "models", "tiny-llama")
	free := mustSample(t, openSampler(t, dir, func(c *GenerateConfig) { c.Samples = 40 }), mixedPrompts[:2])
	reasons := map[string]int{}
	for _, s := range free[0] {
		reasons[s.Finish]++
		if ended := s.IDs[len(s.IDs)-1] == 1; ended != (s.Finish == FinishStop) || s.Tokens != len(s.IDs) || !ended && s.Tokens != 24 {
			t.Errorf("%+v", s)
		}
	}
	stop := free[0][0].Text[len(free[0][0].Text)/2:][:2]
	for i, s := range mustSample(t, openSampler(t, dir, func(c *GenerateConfig) { c.Samples, c.Stop = 40, []string{stop, "never there"} }), mixedPrompts[:2])[0] {
		was := free[0][i]
		before, _, found := strings.Cut(was.Text, stop)
		if s.Text != before || found && s.Finish != FinishStop || len(s.IDs) > len(was.IDs) || !slices.Equal(s.IDs, was.IDs[:len(s.IDs)]) {
			t.Errorf("stop at %q: %+v, without it %+v", stop, s, was)
		}
	}
	t.Log(reasons)
}

// A model that names no token to end with goes on to the end, and to that of its context.
func TestEndless(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(golden.Testdata(t, "models", "tiny-llama"))); err != nil {
		t.Fatal(err)
	}
	for name, replace := range map[string][2]string{"config.json": {`"eos_token_id": 1`, `"eos_token_id": null`}, "tokenizer_config.json": {`"eos_token": "</s>",`, ""}} {
		text, err := os.ReadFile(dir + "/" + name)
		if err == nil {
			text = []byte(strings.Replace(strings.Replace(string(text), replace[0], replace[1], 1), `"max_position_embeddings": 512`, `"max_position_embeddings": 20`, 1))
			err = os.WriteFile(dir+"/"+name, text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s := openSampler(t, dir, func(c *GenerateConfig) { c.Samples = 20 })
	if !s.Endless() {
		t.Error("it is said to end")
	}
	for _, x := range mustSample(t, s, []string{"the cat"})[0] {
		if ids, _ := datasets.EncodePrompt(s.tok, datasets.Text{String: "the cat"}); x.Finish != FinishLength || len(ids)+x.Tokens != 20 {
			t.Errorf("%+v", x)
		}
	}
}

// Text is continued up to the length at which rotary frequencies change, and no prompt that exceeds it.
func TestGenerationEndsWhereKeysChange(t *testing.T) {
	s := openSampler(t, golden.Testdata(t, "models", "tiny-phi3-long"), func(c *GenerateConfig) { c.MaxTokens, c.MinP, c.Temperature = 50, 0, 0 })
	s.eos = nil
	for i, samples := range mustSample(t, s, []string{"the cat", "a"}) {
		ids, err := datasets.EncodePrompt(s.tok, datasets.Text{String: []string{"the cat", "a"}[i]})
		if err != nil {
			t.Fatal(err)
		}
		if x := samples[0]; len(ids)+x.Tokens != 18 || x.Finish != FinishLength {
			t.Errorf("a prompt of %d tokens is continued by %d, and ends by %s; the context is 18", len(ids), x.Tokens, x.Finish)
		}
	}
	_, err := s.generators[0].prompt(0, datasets.Text{String: strings.Repeat("the cat ", 9)})
	if err == nil || !strings.Contains(err.Error(), "context of 18 (original_max_position_embeddings; beyond it its keys change") {
		t.Errorf("a prompt that is too long: %v", err)
	}
}
