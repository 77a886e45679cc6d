package dpo

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// A device continues prompts by graphs of plain operators, whose cache it copies itself: it draws the CPU's tokens, by seed and greedily, of
// all kinds of layers and adapters, for prompts of unequal lengths, in rows that come and go, and of several windows by one sampler.
func TestGuardedDrawsTheCPUsTokens(t *testing.T) {
	for model, dir := range folders(t) {
		for _, temperature := range []float64{0.7, 0} {
			t.Run(fmt.Sprint(model, " at ", temperature), func(t *testing.T) {
				prompts := mixedPrompts
				if model == "tiny-llama-dynamic" || model == "tiny-phi3-long" { // whose context is 16 tokens, and 18
					prompts = []string{"the cat", "a", "he"}
				}
				var drawn [2][]Sample
				for i, device := range []string{"cpu", "guarded"} {
					s := openSampler(t, dir, func(c *GenerateConfig) {
						c.Samples, c.Batch, c.Temperature, c.Device, c.TopP = 2, 4, temperature, device, 0.95
					})
					for _, window := range [][]string{prompts[:2], prompts} {
						for _, samples := range mustSample(t, s, window) {
							drawn[i] = append(drawn[i], samples...)
						}
					}
				}
				if len(drawn[0]) == 0 || len(drawn[0]) != len(drawn[1]) {
					t.Fatalf("%d samples, on the CPU %d", len(drawn[1]), len(drawn[0]))
				}
				for i, want := range drawn[0] {
					got := drawn[1][i]
					if !slices.Equal(got.IDs, want.IDs) || got.Text != want.Text || got.Finish != want.Finish {
						t.Errorf("sample %d: %v, on the CPU %v", i, got.IDs, want.IDs)
					} else if d := math.Abs(got.LogProb - want.LogProb); !(d <= 1e-5*float64(want.Tokens)) {
						t.Errorf("sample %d: log-probability %v, on the CPU %v", i, got.LogProb, want.LogProb)
					}
				}
			})
		}
	}
}

var _ = golden.Testdata
