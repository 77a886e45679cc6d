package dpo

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// deploy writes a model for inference and gives the folder, and the last event.
func deploy(t *testing.T, dir string, set func(*InferenceConfig)) (string, InferenceEvent) {
	t.Helper()
	c := InferenceConfig{Model: dir, Out: filepath.Join(t.TempDir(), filepath.Base(dir)), Weights: models.Float32Weights, Threads: 1}
	if set != nil {
		set(&c)
	}
	var last InferenceEvent
	for e, err := range ExportInference(context.Background(), c, loadTokenizer(t, dir)) {
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		last = e
	}
	return c.Out, last
}

// openExported opens what deploy wrote of a model.
func openExported(t *testing.T, out, dir string) *deployed {
	t.Helper()
	_, d, err := models.Describe(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := openDeployed(out, d, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// inferred are all models of testdata, and its adapters.
func inferred(t *testing.T) (dirs []string) {
	t.Helper()
	for _, kind := range []string{"models", "adapters"} {
		for _, name := range names(t, golden.Testdata(t, kind)) {
			dirs = append(dirs, golden.Testdata(t, kind, name))
		}
	}
	return dirs
}

// Every class of language models has a case in TestInferenceEqualsGenerate.
func TestInferenceOfEveryArchitecture(t *testing.T) {
	seen := map[string]bool{}
	for _, dir := range inferred(t) {
		class, _, err := models.Describe(dir)
		if err != nil {
			t.Fatal(err)
		}
		seen[class] = true
	}
	for _, class := range models.LanguageModels() {
		if !seen[class] {
			t.Errorf("testdata/models has no %s", class)
		}
	}
}

// greedyIDs is what generate continues prompts with, most tokens each, ends of texts included.
func greedyIDs(t *testing.T, dir string, prompts [][]int32, most int) [][]int32 {
	t.Helper()
	s := openSampler(t, dir, func(c *GenerateConfig) { c.Temperature, c.Batch, c.Threads = 0, 2, 1 })
	s.eos = nil
	var asked []*prompt
	for _, ids := range prompts {
		asked = append(asked, &prompt{ids: ids, most: most, samples: make([]Sample, 1)})
	}
	if err := s.generators[0].run(context.Background(), slices.Clone(asked)); err != nil {
		t.Fatal(err)
	}
	var out [][]int32
	for _, p := range asked {
		out = append(out, p.samples[0].IDs)
	}
	return out
}

// ownLogits are the logits of each token of a sequence by the graphs that generate runs.
func ownLogits(t *testing.T, dir string, ids []int32) [][]float32 {
	t.Helper()
	n, err := openAs(dir, Export{Types: models.Types{Compute: onnx.Float32, Weights: onnx.Float32}, Decode: true}, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	next, done, err := (&generator{Sampler: &Sampler{}, network: n}).whole(ids)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	var rows [][]float32
	for i := range ids {
		logits, _ := next.Row(i)
		rows = append(rows, slices.Clone(logits))
	}
	return rows
}

// padding is where a batch's shorter sequence is padded.
type padding string

const (
	left  padding = "left"
	right padding = "right"
)

// steps runs two sequences in one batch, a step of prompts and then one token each, and gives the logits of each one's own tokens. The shorter
// is padded with token 3, which its mask hides.
func steps(t *testing.T, m *deployed, side padding, sequences [2][]int32, prompts [2]int) (logits [2][][]float32) {
	t.Helper()
	width := max(prompts[0], prompts[1])
	c, mask := &unfinished{batch: 2}, [2][]int64{}
	run := func(ids, positions []int64, real [2][]bool) {
		var flat []int64
		for b := range mask {
			for _, is := range real[b] {
				mask[b] = append(mask[b], map[bool]int64{true: 1}[is])
			}
			flat = append(flat, mask[b]...)
		}
		got, err := m.step(c, ids, positions, flat)
		if err != nil {
			t.Fatal(err)
		}
		for b := range real {
			for s, is := range real[b] {
				if at := (b*len(real[b]) + s) * m.Vocab; is {
					logits[b] = append(logits[b], slices.Clone(got[at:at+m.Vocab]))
				}
			}
		}
	}
	var ids, positions []int64
	var real [2][]bool
	for b, p := range prompts {
		first := 0
		if side == left {
			first = width - p
		}
		for s := range width {
			is, id, at := s >= first && s < first+p, int64(3), int64(1)
			if is {
				id, at = int64(sequences[b][s-first]), int64(s-first)
			}
			real[b], ids, positions = append(real[b], is), append(ids, id), append(positions, at)
		}
	}
	run(ids, positions, real)
	for further := range min(len(sequences[0])-prompts[0], len(sequences[1])-prompts[1]) {
		at := [2]int{prompts[0] + further, prompts[1] + further}
		run([]int64{int64(sequences[0][at[0]]), int64(sequences[1][at[1]])}, []int64{int64(at[0]), int64(at[1])}, [2][]bool{{true}, {true}})
	}
	return logits
}

// The exported model, run step by step in batches that are padded on either side, gives the logits that generate sees, to 1e-4, and
// its likeliest tokens are generate's greedy text.
func TestInferenceEqualsGenerate(t *testing.T) {
	prompts := [][]int32{{5, 9, 200, 33, 17, 6, 7}, {70, 8}}
	for _, dir := range inferred(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			most := 50
			if strings.HasSuffix(dir, "tiny-llama-dynamic") || strings.HasSuffix(dir, "tiny-phi3-long") { // beyond 16 and 18 tokens they turn otherwise
				most = 8
			}
			out, _ := deploy(t, dir, nil)
			m := openExported(t, out, dir)
			greedy := greedyIDs(t, dir, prompts, most)
			var sequences [2][]int32
			var want [2][][]float32
			for b := range sequences {
				sequences[b] = slices.Concat(prompts[b], greedy[b])
				want[b] = ownLogits(t, dir, sequences[b])
			}
			for _, side := range []padding{left, right} {
				got := steps(t, m, side, sequences, [2]int{len(prompts[0]), len(prompts[1])})
				for b := range got {
					if off := furthestLogit(want[b], got[b]); !(off < 1e-4) || len(got[b]) != len(sequences[b]) {
						t.Errorf("padded on the %s, sequence %d: logits of %d tokens are %.1e off generate's", side, b, len(got[b]), off)
					}
					for i, id := range greedy[b] {
						if best := argmax(got[b][len(prompts[b])-1+i]); best != id {
							t.Errorf("padded on the %s, sequence %d, token %d: the likeliest is %d, generate takes %d", side, b, i, best, id)
						}
					}
				}
			}
		})
	}
}

// furthestLogit is the largest difference of logits.
func furthestLogit(want, got [][]float32) (most float64) {
	for i, row := range got {
		for k, x := range row {
			if d := math.Abs(float64(x - want[i][k])); !(d <= most) {
				most = d
			}
		}
	}
	return most
}

func argmax(x []float32) int32 {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return int32(best)
}

// Rotary embeddings of each kind give a sequence the log-probabilities that score does: of dynamic scaling one longer than those that the model was
// trained for.
func TestInferenceOfRotaryKinds(t *testing.T) {
	ids := randomGroups(1, 320, 1, 40)[0].Completions[0].IDs
	for kind, fields := range map[string]string{
		"dynamic": `"factor": 2`, "linear": `"factor": 3`, "yarn": `"factor": 4, "original_max_position_embeddings": 16`,
		"llama3": `"factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 16`,
	} {
		dir := filepath.Join(t.TempDir(), kind)
		if err := os.CopyFS(dir, os.DirFS(golden.Testdata(t, "models", "tiny-llama"))); err != nil {
			t.Fatal(err)
		}
		config := strings.Replace(string(readBytes(t, filepath.Join(dir, "config.json"))), "{",
			`{"rope_scaling": {"rope_type": "`+kind+`", `+fields+`},`, 1)
		config = strings.Replace(config, `"max_position_embeddings": 512`, `"max_position_embeddings": 16`, 1)
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		out, _ := deploy(t, dir, nil)
		got, err := openExported(t, out, dir).logProbs(ids)
		if err != nil {
			t.Fatal(err)
		}
		want := tokenLogProbs(t, dir, ids)
		if off := furthest(want, got); !(off < 1e-5) || len(ids) <= 16 {
			t.Errorf("%s: of %d tokens, log-probabilities are %.1e off", kind, len(ids), off)
		}
		if plain := tokenLogProbs(t, golden.Testdata(t, "models", "tiny-llama"), ids); furthest(plain, want) < 1e-3 {
			t.Errorf("%s: the scaling changes nothing", kind)
		}
	}
	dir := golden.Testdata(t, "models", "tiny-phi3-long")
	out, _ := deploy(t, dir, nil)
	for _, n := range []int{8, len(ids)} { // on either side of longrope's switch
		got, err := openExported(t, out, dir).logProbs(ids[:n])
		if err != nil {
			t.Fatal(err)
		}
		if off := furthest(tokenLogProbs(t, dir, ids[:n]), got); !(off < 1e-5) {
			t.Errorf("longrope: of %d tokens, log-probabilities are %.1e off", n, off)
		}
	}
}

// Matrices of few bits are what they are rounded to: the export computes what the same model does with the rounded weights in float32, where
// the operators do not round the other factor, too.
func TestInferenceOfFewBits(t *testing.T) {
	ids := randomGroups(1, 320, 1, 40)[0].Completions[0].IDs
	for _, model := range []string{"tiny-llama", "tiny-gpt2", "tiny-gemma2", "tiny-phi3", "tiny-gptj"} {
		for store, bits := range map[string]int{models.Int8Weights: 8, models.Int4Weights: 4} {
			dir := golden.Testdata(t, "models", model)
			out, last := deploy(t, dir, func(c *InferenceConfig) { c.Weights = store })
			rounded, _ := deploy(t, roundedTo(t, dir, bits), nil)
			want, err := openExported(t, rounded, dir).logProbs(ids)
			if err != nil {
				t.Fatal(err)
			}
			rough, err := openExported(t, out, dir).logProbs(ids)
			if err != nil {
				t.Fatal(err)
			}
			got, err := openExported(t, exactProducts(t, out), dir).logProbs(ids)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s %s: %d bytes; off the rounded weights by %.1e, as it is by %.1e; those are off the source by %.1e", model, store,
				last.Bytes, furthest(want, got), furthest(want, rough), furthest(want, tokenLogProbs(t, dir, ids)))
			if off := furthest(want, got); !(off < 1e-4) {
				t.Errorf("%s %s: log-probabilities are %.1e off those of the rounded weights", model, store, off)
			}
			if off := furthest(want, rough); !(off < 0.2) {
				t.Errorf("%s %s: where x is rounded, too, log-probabilities are %.1e off those of the rounded weights", model, store, off)
			}
			if last.Bytes*4 > last.Float32*3 {
				t.Errorf("%s %s: %d bytes, of %d in float32", model, store, last.Bytes, last.Float32)
			}
		}
	}
}

// exactProducts writes an export again with products whose other factor is not rounded.
func exactProducts(t *testing.T, dir string) string {
	t.Helper()
	g, err := onnx.Load(filepath.Join(dir, models.InferenceModel))
	if err != nil {
		t.Fatal(err)
	}
	products := 0
	for _, n := range g.Nodes {
		if n.Op == "MatMulNBits" {
			n.Attrs["accuracy_level"], products = int64(0), products+1
		}
	}
	text, err := g.Marshal()
	if err != nil || products == 0 {
		t.Fatalf("%d products of few bits, %v", products, err)
	}
	out := t.TempDir()
	if err := os.WriteFile(filepath.Join(out, models.InferenceModel), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}

// roundedTo writes a model whose matrices are rounded as an export's are, by the formula: in blocks of 32 of a row, to s·q with q from
// −2^(bits−1) to 2^(bits−1)−1, where s makes the entry of largest magnitude the first of them.
func roundedTo(t *testing.T, dir string, bits int) string {
	t.Helper()
	m := openModel(t, dir)
	return savedAs(t, m, "float32", func(name string, shape []int64, w []float32) {
		outside := !strings.Contains(name, ".layers.") && !strings.Contains(name, ".h.")
		if len(shape) == 2 && !strings.Contains(name, "wpe") {
			of := bits
			if outside {
				of = 8
			}
			roundMatrix(w, shape, of, m.Transposed && !outside)
		}
	})
}

// roundMatrix rounds rows, or where the matrix lies as [in,out] columns.
func roundMatrix(w []float32, shape []int64, bits int, columns bool) {
	rows, size := int(shape[0]), int(shape[1])
	at := func(r, k int) *float32 { return &w[r*size+k] }
	if columns {
		rows, size = size, rows
		at = func(r, k int) *float32 { return &w[k*int(shape[1])+r] }
	}
	half := float64(int(1) << (bits - 1))
	for r := range rows {
		for first := 0; first < size; first += 32 {
			last, most := min(first+32, size), 0.0
			for k := first; k < last; k++ {
				if x := float64(*at(r, k)); math.Abs(x) > math.Abs(most) {
					most = x
				}
			}
			scale := float64(float32(-most / half))
			for k := first; k < last && scale != 0; k++ {
				q := math.RoundToEven(float64(*at(r, k)) / scale)
				*at(r, k) = float32(min(max(q, -half), half-1) * scale)
			}
		}
	}
}

// Weights of the source's type are the source's bytes, and compute the same.
func TestInferenceKeepsTheSourcesType(t *testing.T) {
	ids := randomGroups(1, 320, 1, 40)[0].Completions[0].IDs
	for _, model := range []string{"tiny-llama-bf16", "tiny-llama-f16"} {
		dir := golden.Testdata(t, "models", model)
		out, last := deploy(t, dir, func(c *InferenceConfig) { c.Weights = models.SourceWeights })
		got, err := openExported(t, out, dir).logProbs(ids)
		if err != nil {
			t.Fatal(err)
		}
		if off := furthest(tokenLogProbs(t, dir, ids), got); !(off < 1e-5) {
			t.Errorf("%s: log-probabilities are %.1e off", model, off)
		}
		if last.Bytes*100 > last.Float32*55 {
			t.Errorf("%s: %d bytes, of %d in float32", model, last.Bytes, last.Float32)
		}
	}
}

// The check's figures are those of the tokens of answers, by the two models' own log-probabilities; of weights in float32 there is no error.
func TestInferenceCheck(t *testing.T) {
	dir, data := golden.Testdata(t, "models", "tiny-llama"), golden.Testdata(t, "pref", "tiny.pairs.jsonl")
	check := func(store string) *LogError {
		_, last := deploy(t, dir, func(c *InferenceConfig) { c.Weights, c.Check = store, []string{data} })
		return last.Error
	}
	exact, rough := check(models.Float32Weights), check(models.Int4Weights)
	if exact.Tokens < 1000 || !(exact.Most < 1e-4) || math.Abs(exact.Got-exact.Expected) > 1e-5 {
		t.Errorf("float32: %+v", exact)
	}
	if !(rough.Mean > 1e-4 && rough.Most > rough.Mean) || rough.Expected != exact.Expected {
		t.Errorf("int4: %+v, float32: %+v", rough, exact)
	}
	s := ScoreConfig{Model: dir, Beta: 0.1, EOS: "add", Truncate: "prompt", MaxPromptLength: 256, Device: "cpu"}
	if want := meanLogProb(t, s, data); math.Abs(want-exact.Expected) > 1e-5 {
		t.Errorf("mean log-probability %v, score has %v", exact.Expected, want)
	}
}

// meanLogProb is a token's mean log-probability over the answers that a check takes, by the graphs that score.
func meanLogProb(t *testing.T, c ScoreConfig, data string) float64 {
	t.Helper()
	s, err := NewScorer(c, loadTokenizer(t, c.Model))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sum, tokens := 0.0, int64(0)
	for group, err := range datasets.Read([]string{data}, datasets.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		scores, err := s.Score([]datasets.Group{group})
		if err != nil {
			t.Fatal(err)
		}
		for k, logp := range scores[0].Policy {
			if tokens < checkedTokens {
				sum, tokens = sum+logp, tokens+scores[0].Tokens[k]
			}
		}
	}
	return sum / float64(tokens)
}

// An export that is refused, or left early, leaves nothing; one over another replaces it whole, and only an export.
func TestInferenceReplacesWhole(t *testing.T) {
	dir, tok := golden.Testdata(t, "models", "tiny-llama"), loadTokenizer(t, golden.Testdata(t, "models", "tiny-llama"))
	out := filepath.Join(t.TempDir(), "out")
	c := InferenceConfig{Model: dir, Out: out, Weights: models.Float32Weights}
	run := func(ctx context.Context, stop int) (err error) {
		events := 0
		for _, e := range ExportInference(ctx, c, tok) {
			if err = e; events == stop {
				break
			}
			events++
		}
		return err
	}
	if err := run(context.Background(), 3); err != nil || len(names(t, filepath.Dir(out))) != 0 {
		t.Errorf("a loop that was left: %v, %v is there", err, names(t, filepath.Dir(out)))
	}
	interrupted, cancel := context.WithCancel(context.Background())
	cancel()
	if err := run(interrupted, -1); !errors.Is(err, ErrInterrupted) || len(names(t, filepath.Dir(out))) != 0 {
		t.Errorf("interrupted: %v, %v is there", err, names(t, filepath.Dir(out)))
	}
	if err := run(context.Background(), -1); err != nil {
		t.Fatal(err)
	}
	want := []string{"config.json", "genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json", "tokenizer_config.json"}
	if got := names(t, out); !slices.Equal(got, want) {
		t.Errorf("written are %v, want %v", got, want)
	}
	if err := run(context.Background(), -1); err == nil || !strings.Contains(err.Error(), "--overwrite") {
		t.Errorf("over another: %v", err)
	}
	c.Overwrite, c.Weights = true, models.Int8Weights
	if err := run(context.Background(), -1); err != nil {
		t.Fatal(err)
	}
	c.Out = filepath.Join(t.TempDir(), "other")
	if err := os.MkdirAll(filepath.Join(c.Out, "mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := run(context.Background(), -1); err == nil || !slices.Equal(names(t, c.Out), []string{"mine"}) {
		t.Errorf("over a folder of something else: %v, %v is there", err, names(t, c.Out))
	}
}

// What is replaced is kept until the new folder has its name, and comes back where that fails.
func TestExchange(t *testing.T) {
	dir := t.TempDir()
	fresh, path, old := filepath.Join(dir, "fresh"), filepath.Join(dir, "path"), filepath.Join(dir, ".old")
	put := func(folder, file string) {
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, file), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, before := range []string{"", "first"} { // where nothing is there yet, and where something is
		if before != "" {
			put(path, before)
		}
		put(fresh, "second")
		if err := exchange(fresh, path, old); err != nil {
			t.Fatal(err)
		}
		if got := names(t, dir); !slices.Equal(got, []string{"path"}) || !slices.Equal(names(t, path), []string{"second"}) {
			t.Errorf("there are %v, with %v", got, names(t, path))
		}
	}
	if err := exchange(fresh, path, old); err == nil || !slices.Equal(names(t, path), []string{"second"}) {
		t.Errorf("without a new folder: %v, %v is there", err, names(t, path))
	}
}

// A model that has files for inference beside its own is not replaced by what is made of it, nor is a folder around it.
func TestInferenceSparesItsModel(t *testing.T) {
	tok := loadTokenizer(t, golden.Testdata(t, "models", "tiny-llama"))
	around := t.TempDir()
	model, link := filepath.Join(around, "model"), filepath.Join(t.TempDir(), "link")
	err := errors.Join(os.CopyFS(model, os.DirFS(golden.Testdata(t, "models", "tiny-llama"))), os.Symlink(model, link))
	for _, dir := range []string{around, model} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, models.GenAIConfig), []byte("{}"), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{model, link, around} {
		c := InferenceConfig{Model: model, Out: out, Weights: models.Float32Weights, Overwrite: true}
		for _, err = range ExportInference(context.Background(), c, tok) {
		}
		if err == nil || !strings.Contains(err.Error(), "holds the model "+model) {
			t.Errorf("over %s: %v", out, err)
		}
		if _, err := os.Stat(filepath.Join(model, "model.safetensors")); err != nil {
			t.Fatalf("over %s: %v", out, err)
		}
	}
}

// Every operator of the graphs has a kernel on a GPU, too, in its floating-point types.
func TestInferenceGraphsHaveCUDAKernels(t *testing.T) {
	kernels := readKernels(t)
	for _, dir := range inferred(t) {
		for _, store := range models.InferenceWeights {
			x, err := models.OpenInference(dir, store)
			if err != nil {
				t.Fatal(err)
			}
			kernels.check(t, filepath.Base(dir)+" "+store, x.Graph)
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
