package dpo

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// goldenAdapters are those of testdata/adapters, made by PEFT: of all products, embedding and head of a tied model; by rsLoRA with patterns; DoRA
// with biases, of a head, and of weights that lie as [in,out]; of one layer alone.
var goldenAdapters = []string{"tiny-llama-lora", "tiny-qwen2-rslora", "tiny-qwen2-dora", "tiny-llama-untied-dora", "tiny-mistral-layers",
	"tiny-llama-sft", "tiny-qwen3-sft-dora", "tiny-gpt2-lora", "tiny-gpt2-dora", "tiny-gemma2-lora"}

// judgedAdapter is what PEFT and PyTorch say of one: see scripts/golden/make_adapters.py.
type judgedAdapter struct {
	Base        string
	Completions []struct {
		TokenLogps   []float64 `json:"token_logps"`
		TokenLogps32 []float64 `json:"token_logps32"`
	}
}

// A model with an adapter has the log-probabilities that PEFT gives it, as near as float32 PEFT times four, and the gradient of the adapter is
// PyTorch's: in float64 to 1e-8 a tensor, in float32 to 1e-5 of its largest element.
func TestAdaptersEqualPEFT(t *testing.T) {
	for _, name := range goldenAdapters {
		t.Run(name, func(t *testing.T) {
			var judge judgedAdapter
			golden.JSON(t, golden.Testdata(t, "golden", name+".adapter.json"), &judge)
			t.Run("logps", func(t *testing.T) { adapterLogps(t, name, judge) })
			for _, rung := range artifact.Rungs {
				for compute, bar := range map[onnx.DType]float64{onnx.Float64: 1e-8, onnx.Float32: 1e-5} {
					t.Run(string(rung)+"/"+compute.String(), func(t *testing.T) {
						t.Logf("largest error of a tensor's gradient %.1e", adapterGradients(t, name, judge, compute, rung, bar))
					})
				}
			}
		})
	}
}

func adapterLogps(t *testing.T, name string, judge judgedAdapter) {
	n, err := openFrozen(golden.Testdata(t, "adapters", name), onnx.Float32, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	var ours, theirs float64
	next := 0
	for _, b := range readJudged(t, judge.Base).Batches {
		groups, _ := examples(b.Groups)
		pass, err := n.engine.Score(n.weights, n.batch(groups))
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for range pass.LogProbs {
			c := judge.Completions[next]
			next++
			for i, want := range c.TokenLogps {
				ours = math.Max(ours, math.Abs(pass.TokenLogProbs[at]-want))
				theirs = math.Max(theirs, math.Abs(c.TokenLogps32[i]-want))
				at++
			}
		}
		if at != len(pass.TokenLogProbs) {
			t.Fatalf("%d tokens are scored, %d should be", len(pass.TokenLogProbs), at)
		}
	}
	t.Logf("largest error of a token's log-probability %.1e, PEFT's own in float32 %.1e", ours, theirs)
	if bar := math.Max(4*theirs, 1e-5); !(ours <= bar) {
		t.Errorf("error %.2e, bar %.2e", ours, bar)
	}
}

func adapterGradients(t *testing.T, name string, judge judgedAdapter, compute onnx.DType, rung artifact.Rung, bar float64) float64 {
	want := map[string]golden.Tensor{}
	for stored, tensor := range golden.Tensors(t, golden.Testdata(t, "golden", name+".adapter.safetensors")) {
		want[stored[len("base_model.model."):]] = tensor
	}
	plan := engine.Uniform(rung, 99)
	plan.HeadColumns = 50
	n := openTest(t, golden.Testdata(t, "adapters", name), compute, engine.Options{Plan: plan})
	grads, err := n.engine.NewGradients()
	if err != nil {
		t.Fatal(err)
	}
	defer grads.Close()
	for _, b := range readJudged(t, judge.Base).Batches {
		groups, weights := examples(b.Groups)
		accumulate(t, n, grads, groups, weights)
	}
	return gradientsApart(t, values(t, n, grads), want, compute, bar, 1e-12)
}

// A merged model computes what its base does with the adapter, to 1e-5 relative.
func TestMergedEqualsUnmerged(t *testing.T) {
	for _, name := range goldenAdapters {
		t.Run(name, func(t *testing.T) {
			merged := filepath.Join(t.TempDir(), "merged")
			if err := models.WriteMerged(merged, golden.Testdata(t, "adapters", name), "float32"); err != nil {
				t.Fatal(err)
			}
			var judge judgedAdapter
			golden.JSON(t, golden.Testdata(t, "golden", name+".adapter.json"), &judge)
			var logps [3][]float64
			for i, dir := range []string{golden.Testdata(t, "adapters", name), merged, golden.Testdata(t, "models", judge.Base)} {
				n, err := openFrozen(dir, onnx.Float32, engine.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer n.close()
				for _, b := range readJudged(t, judge.Base).Batches {
					groups, _ := examples(b.Groups)
					of, err := n.logps(groups)
					if err != nil {
						t.Fatal(err)
					}
					logps[i] = append(logps[i], of...)
				}
			}
			for i, want := range logps[0] {
				if d := math.Abs(logps[1][i] - want); !(d <= 1e-5*math.Abs(want)) {
					t.Errorf("sequence %d: merged %v, unmerged %v", i, logps[1][i], want)
				}
			}
			if furthest(logps[0], logps[2]) < 1e-2 {
				t.Error("the adapter changes nothing")
			}
		})
	}
}

// adapterConfig goes on with one of testdata/adapters.
func adapterConfig(t *testing.T, name string) Config {
	t.Helper()
	c := tinyConfig(t)
	c.Model = golden.Testdata(t, "adapters", name)
	return c
}

// An adapter is its own reference, so the loss starts at log 2; its run, interrupted and resumed, ends in the same bits, and leaves the
// base as it was.
func TestAdaptersResume(t *testing.T) {
	for _, name := range []string{"tiny-llama-lora", "tiny-llama-untied-dora"} {
		t.Run(name, func(t *testing.T) {
			through := adapterConfig(t, name)
			through.EvalData, through.EvalEvery, through.SaveEvery = []string{writePairs(t, 5)}, 2, 3
			steps := mustTrain(t, through)
			if steps[0].Loss != math.Ln2 || steps[len(steps)-1].Loss > 0.69 {
				t.Errorf("loss %v to %v", steps[0].Loss, steps[len(steps)-1].Loss)
			}
			c, _ := stoppedAndResumed(t, through, 3)
			if d := golden.Difference(strings.ReplaceAll(golden.Outcome(t, through.Out), through.Out, ""), strings.ReplaceAll(golden.Outcome(t, c.Out), c.Out, "")); d != "" {
				t.Errorf("the resumed run has left other files:\n%s", d)
			}
		})
	}
}

// Training has no dropout, so an adapter that was trained with it is not gone on with in silence.
func TestAdapterWithDropoutIsNotTrained(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "adapter")
	if err := models.WriteAdapter(dir, golden.Testdata(t, "models", "tiny-llama"), models.AdapterSpec{Rank: 1, Alpha: 1, Targets: []string{"q_proj"}}, 0); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "adapter_config.json")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.Replace(text, []byte(`"lora_dropout": 0`), []byte(`"lora_dropout": 0.05`), 1), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := tinyConfig(t)
	c.Model = dir
	if _, err := train(t, c, false, nil); err == nil || !strings.Contains(err.Error(), "field lora_dropout of the adapter") {
		t.Errorf("error %v", err)
	}
}

// What names no module beside names that do is passed over with a warning, as PEFT does: of targets of a new adapter, and of an adapter's patterns.
func TestPassedOver(t *testing.T) {
	c := tinyConfig(t)
	c.Adapter, c.LoRARank, c.LoRAAlpha, c.LoRATargets, c.Steps = "lora", 2, 4, []string{"q_proj", "x_proj"}, 1
	write, err := c.NewAdapter()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteInitial(write); err != nil {
		t.Fatal(err)
	}
	warned := func(c Config) (all []string) {
		trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		for _, w := range trainer.warnings {
			if w.Name == "passed-over" {
				all = append(all, w.What)
			}
		}
		return all
	}
	if got := warned(c); len(got) != 1 || !strings.Contains(got[0], "lora-targets x_proj: no module of the model") {
		t.Errorf("of targets: %q", got)
	}
	file := filepath.Join(c.Model, "adapter_config.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	patterns := bytes.Replace(text, []byte(`"r": 2`), []byte(`"r": 2, "rank_pattern": {"v_proj": 4, "q_proj": 2}, "alpha_pattern": {"z_proj": 1}`), 1)
	if err := os.WriteFile(file, patterns, 0o600); err != nil {
		t.Fatal(err)
	}
	c.LoRATargets = []string{"q_proj"}
	if got := warned(c); len(got) != 1 || !strings.Contains(got[0], "v_proj of rank_pattern and z_proj of alpha_pattern is of no module that it changes") {
		t.Errorf("of patterns: %q", got)
	}
}
