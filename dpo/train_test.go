package dpo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/models"
)

// writePairs makes a file of pairs of mixed lengths.
func writePairs(t *testing.T, n int) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(11, 12))
	words := strings.Fields("the a cat dog sat ran on mat big red sun and then she he was very glad sad to see it")
	text := func(n int) string {
		var out []string
		for range n {
			out = append(out, words[rng.IntN(len(words))])
		}
		return strings.Join(out, " ")
	}
	var file bytes.Buffer
	for range n {
		line, err := json.Marshal(map[string]string{"prompt": text(1 + rng.IntN(9)), "chosen": " " + text(1+rng.IntN(12)) + " glad",
			"rejected": " " + text(1+rng.IntN(12)) + " sad"})
		if err != nil {
			t.Fatal(err)
		}
		file.Write(append(line, '\n'))
	}
	path := filepath.Join(t.TempDir(), "pairs.jsonl")
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// tinyConfig trains tiny-llama on 24 pairs.
func tinyConfig(t *testing.T) Config {
	t.Helper()
	c, err := NewConfig("paper")
	if err != nil {
		t.Fatal(err)
	}
	c.Model, c.Data, c.Out = golden.Testdata(t, "models", "tiny-llama"), []string{writePairs(t, 24)}, filepath.Join(t.TempDir(), "out")
	c.Batch, c.Steps, c.LR, c.Warmup, c.Optimizer, c.SaveEvery = 8, 6, 1e-3, 0, "adamw", 0
	return c
}

func loadTokenizer(t *testing.T, dir string) datasets.Tokenizer {
	t.Helper()
	home, err := models.Home(dir, "tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tok.Close() })
	return tok
}

// train runs until the end, or until stop says so after a step; it gives the steps' metrics.
func train(t *testing.T, c Config, resume bool, stop func(step int) bool) ([]Metrics, error) {
	t.Helper()
	all, _, err := trainWith(c, loadTokenizer(t, c.Model), resume, stop)
	return all, err
}

// trainWith is train with a tokenizer, and gives the summary, too.
func trainWith(c Config, tok datasets.Tokenizer, resume bool, stop func(step int) bool) (all []Metrics, _ Summary, _ error) {
	trainer, err := NewTrainer(c, tok, resume)
	if err != nil {
		return nil, Summary{}, err
	}
	defer trainer.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for e, err := range trainer.Run(ctx) {
		if err != nil {
			return all, trainer.Summary(), err
		}
		if e.Metrics != nil {
			all = append(all, *e.Metrics)
			if stop != nil && stop(e.Metrics.Step) {
				cancel()
			}
		}
	}
	return all, trainer.Summary(), nil
}

func mustTrain(t *testing.T, c Config) []Metrics {
	t.Helper()
	m, err := train(t, c, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Policy and reference share graphs and layout before the first step, so the loss is log 2 to the last bit.
func TestLossStartsAtLogTwo(t *testing.T) {
	c := tinyConfig(t)
	c.Steps = 1
	m := mustTrain(t, c)[0]
	if m.Loss != math.Ln2 || m.Margins != 0 || m.Accuracies != 0 {
		t.Errorf("loss %v, margin %v, accuracy %v; want log 2, 0, 0", m.Loss, m.Margins, m.Accuracies)
	}
}

func TestMicroBatchesEqualOneBatch(t *testing.T) {
	whole, cut := tinyConfig(t), tinyConfig(t)
	cut.MicroBatch = 1
	a, b := mustTrain(t, whole), mustTrain(t, cut)
	for i := range 3 { // afterwards the roundings of each step's sums grow
		if math.Abs(a[i].Loss-b[i].Loss) > 1e-6*a[i].Loss || math.Abs(a[i].GradNorm-b[i].GradNorm) > 1e-5*a[i].GradNorm {
			t.Errorf("step %d: loss %v and %v, norm %v and %v", i+1, a[i].Loss, b[i].Loss, a[i].GradNorm, b[i].GradNorm)
		}
	}
}

// stoppedAndResumed trains elsewhere as c says, interrupted after a step: the settings, and the metrics of the steps after it.
func stoppedAndResumed(t *testing.T, c Config, stop int) (Config, []Metrics) {
	t.Helper()
	c.Out = filepath.Join(t.TempDir(), "out")
	if _, err := train(t, c, false, func(step int) bool { return step == stop }); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("error %v, want an interruption", err)
	}
	got, err := train(t, c, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, got
}

// A run that is interrupted anywhere and resumed ends in the same bits as one that is not.
func TestResumeGivesTheSameBits(t *testing.T) {
	through := tinyConfig(t)
	through.EvalData, through.EvalEvery = []string{writePairs(t, 5)}, 2
	want := mustTrain(t, through)
	for _, stop := range []int{1, 3, 4} {
		t.Run(fmt.Sprint("after step ", stop), func(t *testing.T) {
			c, got := stoppedAndResumed(t, through, stop)
			for i, m := range got {
				w := want[stop+i]
				if m.Step != w.Step || m.Loss != w.Loss || m.GradNorm != w.GradNorm || m.NumTokens != w.NumTokens {
					t.Errorf("step %d: %+v, without the interruption %+v", w.Step, m, w)
				}
			}
			for _, file := range []string{"model.safetensors", "run/checkpoints/step-000006/optimizer.safetensors"} {
				a, err1 := os.ReadFile(filepath.Join(through.Out, file))
				b, err2 := os.ReadFile(filepath.Join(c.Out, file))
				if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
					t.Errorf("%s differs (%v, %v)", file, err1, err2)
				}
			}
			if a, b := lines(t, through.Out), lines(t, c.Out); a != b {
				t.Errorf("metrics.jsonl has %d lines, without the interruption %d", b, a)
			}
			sameEvents(t, c.Out)
		})
	}
}

func lines(t *testing.T, out string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "run", "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

func TestResumeRefusesOtherDataOrModel(t *testing.T) {
	c := tinyConfig(t)
	if _, err := train(t, c, false, func(step int) bool { return step == 1 }); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	other := c
	other.Data = []string{writePairs(t, 23)}
	if _, err := train(t, other, true, nil); err == nil || !strings.Contains(err.Error(), "not what the run began with") {
		t.Errorf("other data: error %v", err)
	}
	other = c
	other.Model = golden.Testdata(t, "models", "tiny-llama-linear")
	if _, err := train(t, other, true, nil); err == nil {
		t.Error("another model is not refused")
	}
}

// A rate that is far too high ends the run with the step and its rows, and leaves a good state.
func TestDivergenceNamesStepAndRows(t *testing.T) {
	c := tinyConfig(t)
	c.LR, c.MaxGradNorm, c.Optimizer, c.SaveEvery = 1e30, 0, "sgd", 1
	_, err := train(t, c, false, nil)
	var diverged *DivergedError
	if !errors.As(err, &diverged) || diverged.Step < 2 || !strings.Contains(err.Error(), "pairs.jsonl row ") {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.Out, "model.safetensors")); err == nil {
		t.Error("a model was written")
	}
}

// unequal are settings that a loss needs, or is given so that the step's margins show.
var unequal = map[string]func(*Config){
	"exo_pair":     func(c *Config) { c.LabelSmoothing = 1e-3 },
	"discopop":     func(c *Config) { c.LossSettings = settings.Values{"tau": "1"} }, // by default its slope at 0 points the other way
	"sigmoid_norm": func(c *Config) { c.Beta = 2 },
	"simpo":        func(c *Config) { c.Beta = 2 },
	"orpo":         func(c *Config) { c.Beta = 1 },
}

// Under each loss the same groups, step after step, come to cost less, and but for the likelihood of chosen answers alone the margin grows. What
// the losses are is held by TestLossesEqualTRL.
func TestEachLossFalls(t *testing.T) {
	for _, name := range loss.Comparing() {
		c := tinyConfig(t)
		if set := unequal[name]; set != nil {
			set(&c)
		}
		c.Loss, c.Batch, c.Steps = name, 24, 4
		if named(t, name).Columns != nil {
			c.Data = []string{withMargins(t, c.Data[0])}
		}
		m := mustTrain(t, c)
		first, last := m[0], m[len(m)-1]
		grown := last.Margins-first.Margins > 0.1 || name == "sft" || name == "sft_mean"
		t.Logf("%s: loss %.4f to %.4f, margin %.4f to %.4f", name, first.Loss, last.Loss, first.Margins, last.Margins)
		if !(last.Loss < 0.9*first.Loss && grown) {
			t.Errorf("%s: loss %v to %v, margin %v to %v", name, first.Loss, last.Loss, first.Margins, last.Margins)
		}
	}
}

// withMargins copies a file of pairs with a margin in each.
func withMargins(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.Replace(line, "{", `{"margin": 0.5, `, 1))
	}
	out := filepath.Join(t.TempDir(), "margins.jsonl")
	if err := os.WriteFile(out, []byte(strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}

// A setting that the loss does not have is refused, not ignored; and one that it needs is asked for.
func TestLabelSmoothingIsRefusedWhereItMeansNothing(t *testing.T) {
	taking := []string{"aot", "aot_unpaired", "cpo", "exo_pair", "robust", "sigmoid", "simpo"}
	for _, name := range loss.Comparing() {
		c := tinyConfig(t)
		c.Loss, c.LabelSmoothing = name, 0.1
		err := c.Check()
		if slices.Contains(taking, name) != (err == nil) {
			t.Errorf("%s with label smoothing: error %v", name, err)
		} else if want := "label-smoothing is a setting of aot, aot_unpaired, cpo, exo_pair, robust, sigmoid and simpo, not of " + name; err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	c := tinyConfig(t)
	c.Loss = "hinge=1,exo_pair=0.5"
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "loss hinge=1,exo_pair=0.5 needs label-smoothing in (0, 0.5): its paper has 0.001") {
		t.Errorf("without label smoothing: %v", err)
	}
}

// head copies the first rows of a file of lines.
func head(t *testing.T, path string, rows int) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	out := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(out, bytes.Join(lines[:min(rows, len(lines))], nil), 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}
