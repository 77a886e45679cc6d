package dpo

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// promptsFile is a file of n prompts.
func promptsFile(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		b.WriteString(`{"prompt":"The ` + strings.Repeat("cat ", i%4+1) + `","good":["a cat"]}` + "\n")
	}
	return writeFile(t, "prompts.jsonl", b.String())
}

// evalConfig measures tiny-llama against its sibling.
func evalConfig(t *testing.T) EvalConfig {
	return EvalConfig{Model: golden.Testdata(t, "models", "tiny-llama"), Ref: golden.Testdata(t, "models", "tiny-llama-linear"), Beta: 0.1,
		Prompts: []string{promptsFile(t, 40)}, Samples: 3, MaxTokens: 6, Reward: "length", Judge: judgeOptions(t), Device: "cpu"}
}

// evaluate runs an evaluation until the end, or until it has yielded stop events, and gives eval.json.
func evaluate(t *testing.T, c EvalConfig, dir string, stop int) []byte {
	t.Helper()
	n := 0
	for _, err := range Eval(context.Background(), c, loadTokenizer(t, c.Model), dir) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == stop {
			return nil
		}
	}
	return readBytes(t, filepath.Join(dir, evalFile))
}

func evalResult(t *testing.T, text []byte) (r EvalResult) {
	t.Helper()
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// The divergence of a policy from itself is zero, whatever it samples.
func TestKLOfTheSameModelIsZero(t *testing.T) {
	c := evalConfig(t)
	c.Ref = c.Model
	if kl := evalResult(t, evaluate(t, c, filepath.Join(t.TempDir(), "out"), 0)).Answers.KL; kl.Mean != 0 || kl.SE != 0 {
		t.Errorf("KL %+v", kl)
	}
}

// The divergence from samples is that from all texts of two tokens, within two standard errors.
func TestKLIsThatOfAllTexts(t *testing.T) {
	c := evalConfig(t)
	const prompt = "The cat"
	c.Prompts, c.MaxTokens, c.Samples, c.Reward = []string{writeFile(t, "p.jsonl", strings.Repeat(`{"prompt":"`+prompt+`"}`+"\n", 64))}, 2, 64, ""
	got := evalResult(t, evaluate(t, c, filepath.Join(t.TempDir(), "out"), 0)).Answers.KL
	tok := loadTokenizer(t, c.Model)
	ids, err := datasets.EncodePrompt(tok, datasets.Text{String: prompt})
	if err != nil {
		t.Fatal(err)
	}
	eos, _, _ := tok.EOS()
	next := func(dir string) func(ids []int32) []float64 {
		n, err := openFrozen(dir, onnx.Float32, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.close() })
		return func(ids []int32) []float64 {
			x := datasets.Example{Prompt: ids}
			for id := range n.model.Vocab {
				x.Completions = append(x.Completions, datasets.Completion{IDs: []int32{int32(id)}})
			}
			logps, err := n.logps([]datasets.Example{x})
			if err != nil {
				t.Fatal(err)
			}
			return logps
		}
	}
	policy, reference := next(c.Model), next(c.Ref)
	divergence := func(ids []int32) (kl float64, p []float64) {
		p = policy(ids)
		for id, q := range reference(ids) {
			kl += math.Exp(p[id]) * (p[id] - q)
		}
		return kl, p
	}
	want, first := divergence(ids)
	for id, logp := range first {
		if int32(id) != eos {
			kl, _ := divergence(append(append([]int32{}, ids...), int32(id)))
			want += math.Exp(logp) * kl
		}
	}
	if want < 1e-4 || math.Abs(got.Mean-want) > 2*got.SE {
		t.Errorf("KL %v ± %v, of all texts %v", got.Mean, got.SE, want)
	}
}

// An evaluation that is stopped anywhere goes on to the same bytes.
func TestEvalResumesToTheSameBytes(t *testing.T) {
	c := evalConfig(t)
	const prompts = 200 // several windows
	c.Prompts = []string{promptsFile(t, prompts)}
	c.Data, c.Against, c.BestOf = []string{writePairs(t, 40)}, "column:good", []int{1, 2, 5}
	through := filepath.Join(t.TempDir(), "out")
	want := evaluate(t, c, through, 0)
	for _, stop := range []int{1, 3, 5, 6, 8} {
		dir := filepath.Join(t.TempDir(), "out")
		evaluate(t, c, dir, stop)
		if got := evaluate(t, c, dir, 0); !bytes.Equal(got, want) {
			t.Errorf("stopped after %d events: %s\nwant %s", stop, got, want)
		}
		for _, file := range []string{evalSamplesFile, evalScoredFile} {
			if !bytes.Equal(readBytes(t, filepath.Join(dir, file)), readBytes(t, filepath.Join(through, file))) {
				t.Errorf("stopped after %d events: %s differs", stop, file)
			}
		}
	}
	r := evalResult(t, want)
	a := r.Answers
	if a.Prompts != prompts || a.Answers != 3*prompts || a.Failed != 0 || a.Reward.Mean <= 0 || a.WinRate.Mean <= 0 || a.WinRate.Mean > 1 {
		t.Errorf("answers: %+v", a)
	}
	if b := a.Baseline; len(b) != 3 || b[0].Reward.Mean >= b[1].Reward.Mean || b[1].Reward.Mean >= b[2].Reward.Mean {
		t.Errorf("the best of more is no better: %+v", b)
	}
	if p := r.Preferences; p.Groups != 40 || p.Accuracy.Mean <= 0 || p.Accuracy.Mean >= 1 || p.LogLoss.Mean <= 0 {
		t.Errorf("preferences: %+v", p)
	}
	c.Samples++
	for _, err := range Eval(context.Background(), c, loadTokenizer(t, c.Model), through) {
		if err == nil || !strings.Contains(err.Error(), "samples was 3, is 4") {
			t.Errorf("other settings: %v", err)
		}
	}
}

// Groups are summed up as by hand.
func TestMeasurePreferences(t *testing.T) {
	p := measurePreferences([]orderedGroup{{margins: []float64{2, -1}, longest: 10}, {margins: []float64{0}, longest: 1000}})
	if p.Accuracy.Mean != 0.5 || p.Margin.Mean != 0.25 || p.Accuracy.N != 2 {
		t.Errorf("%+v", p)
	}
	loss := func(m float64) float64 { return math.Log1p(math.Exp(-m)) }
	if want := ((loss(2)+loss(-1))/2 + loss(0)) / 2; math.Abs(p.LogLoss.Mean-want) > 1e-12 {
		t.Errorf("log-loss %v, want %v", p.LogLoss.Mean, want)
	}
	sigmoid := func(m float64) float64 { return 1 / (1 + math.Exp(-m)) }
	if want := (math.Abs(1-sigmoid(2)) + sigmoid(1) + 0) / 3; math.Abs(p.ECE-want) > 1e-12 {
		t.Errorf("calibration error %v, want %v", p.ECE, want)
	}
	if len(p.Lengths) != 2 || p.Lengths[0].Most != 16 || p.Lengths[1].Most != 0 || p.Lengths[1].Accuracy.Mean != 0.5 {
		t.Errorf("lengths %+v", p.Lengths)
	}
}
