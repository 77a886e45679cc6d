package dpo

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// A device continues prompts by graphs of plain operators, whose cache it copies itself: it draws the CPU's tokens, by seed and greedily, of
// all kinds of layers and adapters, for prompts of unequal lengths, in rows that come and go, and of several windows by one sampler.
func TestGuardedDrawsTheCPUsTokens(t *testing.T) { drawsTheCPUsTokens(t, guarded, 1e-6) }

// drawsTheCPUsTokens holds log-probabilities to so much a token.
func drawsTheCPUsTokens(t *testing.T, d ort.Device, bar float64) {
	all := folders(t)
	for i, model := range slices.Sorted(maps.Keys(all)) {
		temperature := []float64{0.7, 0}[i%2]
		t.Run(fmt.Sprint(model, " at ", temperature), func(t *testing.T) { drawsTheSame(t, d, bar, model, all[model], temperature) })
	}
}

func drawsTheSame(t *testing.T, d ort.Device, bar float64, model, dir string, temperature float64) {
	t.Helper()
	prompts := mixedPrompts
	if model == "tiny-llama-dynamic" || model == "tiny-phi3-long" { // whose context is 16 tokens, and 18
		prompts = []string{"the cat", "a", "he"}
	}
	draw := func(device string) (drawn []Sample) {
		s := openSampler(t, dir, func(c *GenerateConfig) {
			c.Samples, c.Batch, c.Temperature, c.Device, c.TopP = 2, 4, temperature, device, 0.95
		})
		for _, window := range [][]string{prompts[:2], prompts} {
			for _, samples := range mustSample(t, s, window) {
				drawn = append(drawn, samples...)
			}
		}
		return drawn
	}
	want, got := draw("cpu"), draw(d.String())
	if len(want) == 0 || len(got) != len(want) {
		t.Fatalf("%d samples, on the CPU %d", len(got), len(want))
	}
	for i, w := range want {
		if g := got[i]; !slices.Equal(g.IDs, w.IDs) || g.Text != w.Text || g.Finish != w.Finish {
			t.Errorf("sample %d: %v, on the CPU %v", i, g.IDs, w.IDs)
		} else if !(math.Abs(g.LogProb-w.LogProb) <= bar*float64(w.Tokens)) {
			t.Errorf("sample %d: log-probability %v, on the CPU %v", i, g.LogProb, w.LogProb)
		}
	}
}

// onEach gives what a device, and the CPU, make of the same.
func onEach[T any](f func(device string) T) (want, got T) { return f("cpu"), f(guarded.String()) }

// Evaluations with a reference and a reward model, labels by models, and frontiers come to the CPU's numbers.
func TestGuardedEvaluatesAsTheCPU(t *testing.T) {
	llama := golden.Testdata(t, "models", "tiny-llama")
	reward := "model:" + rewardDir(t, llama, nil)
	prompts, pairs, rows := promptsFile(t, 12), writePairs(t, 8), labelData(t, 9)
	judge := func(device string) JudgeOptions {
		o := judgeOptions(t)
		o.Score.Device = device
		return o
	}
	t.Run("eval", func(t *testing.T) {
		asJSON(t)(onEach(func(device string) []byte {
			c := evalConfig(t)
			c.Prompts, c.Data, c.Reward, c.Judge, c.Device = []string{prompts}, []string{pairs}, reward, judge(device), device
			return evaluate(t, c, filepath.Join(t.TempDir(), "out"), 0)
		}))
	})
	for _, by := range []string{reward, "loglik:" + llama, "implicit:" + llama + "," + golden.Testdata(t, "models", "tiny-llama-linear")} {
		t.Run("label by "+by[:6], func(t *testing.T) {
			asJSON(t)(onEach(func(device string) []byte {
				f := LabelFiles{Data: []string{rows}, Out: outFile(t)}
				for _, err := range Label(t.Context(), LabelConfig{As: "ranked", Reward: by, Judge: judge(device)}, f) {
					if err != nil {
						t.Fatal(err)
					}
				}
				text, err := json.Marshal(rowsOf(t, readBytes(t, f.Out)))
				if err != nil {
					t.Fatal(err)
				}
				return text
			}))
		})
	}
	t.Run("frontier", func(t *testing.T) {
		asJSON(t)(onEach(func(device string) []byte {
			p := tinyPlan(t)
			p.Prompts, p.Device, p.DPO.Device, p.PreferredFT.Device = []string{prompts}, device, device, device
			p.DPO.Data, p.PreferredFT.Data = []string{pairs}, []string{pairs}
			return drawFrontier(t, p, filepath.Join(t.TempDir(), "out"), 0)
		}))
	})
}

// asJSON holds documents against each other: numbers to 1e-4, all else but the device exactly.
func asJSON(t *testing.T) func(want, got []byte) {
	return func(want, got []byte) {
		var documents [2]any
		for i, text := range [][]byte{want, got} {
			if err := json.Unmarshal(text, &documents[i]); err != nil {
				t.Fatal(err)
			}
		}
		if n := sameValues(t, "", documents[0], documents[1]); n < 5 {
			t.Errorf("only %d numbers: %s", n, want)
		}
	}
}

// sameValues counts the numbers below a place.
func sameValues(t *testing.T, at string, want, got any) (numbers int) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for key := range w {
			if key != "device" {
				numbers += sameValues(t, at+"."+key, w[key], g[key])
			}
		}
		return numbers
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			t.Errorf("%s has %d entries, on the CPU %d", at, len(g), len(w))
			return 0
		}
		for i := range w {
			numbers += sameValues(t, fmt.Sprint(at, ".", i), w[i], g[i])
		}
		return numbers
	case float64:
		if g, ok := got.(float64); !ok || !(math.Abs(g-w) <= 1e-4*math.Max(1, math.Abs(w))) {
			t.Errorf("%s is %v, on the CPU %v", at, got, want)
		}
		return 1
	}
	if want != got {
		t.Errorf("%s is %v, on the CPU %v", at, got, want)
	}
	return 0
}
