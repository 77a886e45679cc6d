package dpo

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/settings"
)

// mixtureConfig is tinyConfig under a loss that has every kind of part: of a ratio, of its mean, and of the policy alone over the tokens of a step.
func mixtureConfig(t *testing.T) Config {
	t.Helper()
	c := tinyConfig(t)
	c.Loss, c.FDivergence = "sigmoid=0.5,sigmoid_norm=2,sft=1,sft_mean=0.25", "js_divergence"
	c.Batch, c.LR = 8, 1e-3
	return c
}

// A step in micro-batches is the step in one, though a part of the loss is divided by the tokens of the whole step.
func TestMixtureInMicroBatches(t *testing.T) {
	whole := mixtureConfig(t)
	whole.Steps = 3
	cut := whole
	cut.Out, cut.MicroBatch = filepath.Join(t.TempDir(), "out"), 1
	a, b := mustTrain(t, whole), mustTrain(t, cut)
	for i := range a {
		if math.Abs(a[i].Loss-b[i].Loss) > 1e-6*a[i].Loss || math.Abs(a[i].GradNorm-b[i].GradNorm) > 1e-5*a[i].GradNorm {
			t.Errorf("step %d: loss %v and %v, norm %v and %v", i+1, a[i].Loss, b[i].Loss, a[i].GradNorm, b[i].GradNorm)
		}
	}
}

// Runs of a mixture, of a loss without a reference and of one whose reference is left out are resumed to the same bits, streamed or not.
func TestLossesResume(t *testing.T) {
	for name, set := range map[string]func(*Config){
		"mixture": func(*Config) {},
		"simpo": func(c *Config) {
			c.Loss, c.FDivergence, c.Beta, c.LossSettings = "simpo", "", 2, settings.Values{"gamma": "1"}
		},
		"reference-free": func(c *Config) { c.Loss, c.ReferenceFree = "sigmoid", true },
	} {
		for _, streamed := range []bool{false, true} {
			through := mixtureConfig(t)
			set(&through)
			through.Steps, through.NoShuffle, through.EvalData, through.EvalEvery = 4, streamed, []string{writePairs(t, 5)}, 2
			want := mustTrain(t, through)
			_, got := stoppedAndResumed(t, through, 2)
			if len(got) != 2 {
				t.Fatalf("%s: %d steps after the resume", name, len(got))
			}
			for i, m := range got {
				if w := want[2+i]; m.Loss != w.Loss || m.GradNorm != w.GradNorm || m.Margins != w.Margins {
					t.Errorf("%s, streamed %t, step %d: loss %v, norm %v, margin %v; without the interruption %v, %v, %v", name, streamed, w.Step, m.Loss, m.GradNorm,
						m.Margins, w.Loss, w.GradNorm, w.Margins)
				}
			}
		}
	}
}
