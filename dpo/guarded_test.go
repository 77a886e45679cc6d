package dpo

import (
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// guarded computes as the CPU does, in memory that ends whatever takes it for the host's: so what a GPU is given is tried where there is
// none.
var guarded = ort.Device{Kind: ort.Guarded}

// Log-probabilities and gradients are the CPU's, to the bit.
func TestGuardedEqualsCPU(t *testing.T) { equalsCPU(t, guarded, 0) }

// What is frozen, and what is scored with, is copied to the device; it is the host's again when the network is closed.
func TestGuardedHoldsWeights(t *testing.T) {
	free := func() int64 {
		n, _, err := guarded.Memory()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, dir := range []string{golden.Testdata(t, "models", "tiny-llama-bf16"), golden.Testdata(t, "adapters", "tiny-llama-lora")} {
		before := free()
		n, err := openFrozen(dir, onnx.Float32, engine.Options{Device: guarded})
		if err != nil {
			t.Fatal(err)
		}
		held, err := n.engine.Held()
		if err != nil {
			t.Fatal(err)
		}
		if taken, want := before-free(), held.Weights+held.Frozen; taken < want || want == 0 {
			t.Errorf("%s: %d bytes are on the device, its weights are %d", dir, taken, want)
		}
		if err := n.close(); err != nil || free() != before {
			t.Errorf("%s: %d bytes are left on the device (%v)", dir, before-free(), err)
		}
	}
}

// guardedRuns are kinds of training; of each optimizer one is added.
var guardedRuns = map[string]func(t *testing.T) Config{
	"planned":    tinyConfig,
	"likelihood": func(t *testing.T) Config { return aimed(t, Likelihood) },
	"reward":     func(t *testing.T) Config { return aimed(t, Reward) },
	"lora":       func(t *testing.T) Config { return adapterConfig(t, "tiny-llama-lora") },
	"dora":       func(t *testing.T) Config { return adapterConfig(t, "tiny-qwen2-dora") },
	"kto":        func(t *testing.T) Config { return stepConfig(t, "kto") },
	"exported": func(t *testing.T) Config {
		c := tinyConfig(t)
		c.Model = golden.Testdata(t, "exported", "gpt2-optimum.onnx")
		return c
	},
	"another reference": func(t *testing.T) Config {
		c := tinyConfig(t)
		c.Ref = golden.Testdata(t, "models", "tiny-llama-bf16")
		return c
	},
	"released": func(t *testing.T) Config {
		c := tinyConfig(t)
		c.MaxGradNorm, c.Planned = 0, &MemoryPlan{MicroTokens: 4096, Release: true}
		return c
	},
	"thrifty": func(t *testing.T) Config {
		c := tinyConfig(t)
		c.Planned = &MemoryPlan{MicroTokens: 64, Passes: engine.Plan{Recompute: 1, Probs: 1, RecomputeHead: true, HeadColumns: 64}}
		return c
	},
}

// Runs on a device, each stopped and resumed there, are the CPU's.
func TestGuardedTrainsAsTheCPU(t *testing.T) { trainsAsTheCPU(t, guarded, 1e-5) }

// trainsAsTheCPU holds losses, norms and weights of runs on a device, of those that are named or of all, to a bar, relative, or of a tensor's largest element.
func trainsAsTheCPU(t *testing.T, d ort.Device, bar float64, named ...string) {
	t.Helper()
	runs := maps.Clone(guardedRuns)
	for name, v := range variants() {
		runs[name] = func(t *testing.T) Config {
			c := tinyConfig(t)
			c.Optimizer, c.OptimizerSettings, c.WeightDecay, c.MaxGradNorm = v.Optimizer, v.OptimizerSettings, 0.1, 0.5
			c.Planned = &MemoryPlan{MicroTokens: 64}
			return c
		}
	}
	for name, set := range looksAgain {
		runs[name] = func(t *testing.T) Config {
			c := stepConfig(t, "sigmoid")
			set(&c)
			return c
		}
	}
	for name, config := range runs {
		if named != nil && !slices.Contains(named, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			c := config(t)
			c.Steps = 4
			want := mustTrain(t, c)
			cpu := c.Out
			c.Device = d.String()
			c, got := stoppedAndResumed(t, c, 2)
			for i, m := range got {
				asOnCPU(t, bar, "loss", m.Loss, want[2+i].Loss)
				asOnCPU(t, bar, "norm", m.GradNorm, want[2+i].GradNorm)
				asOnCPU(t, bar, "log-probability", m.ChosenLogps, want[2+i].ChosenLogps)
			}
			for name, w := range weightsOf(t, cpu) {
				g := weightsOf(t, c.Out)[name]
				if worst := furthest(g, w) / largest(w); !(worst <= bar) {
					t.Errorf("%s is %.1e of its largest element off", name, worst)
				}
			}
		})
	}
}

// asOnCPU holds a number to a bar, relative.
func asOnCPU(t *testing.T, bar float64, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= bar*math.Abs(want)) {
		t.Errorf("%s %v, on the CPU %v", what, got, want)
	}
}

// weightsOf reads what a run trained.
func weightsOf(t *testing.T, out string) map[string][]float64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(out, "*model.safetensors"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s has the weights %v (%v)", out, files, err)
	}
	f, err := safetensors.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string][]float64{}
	for _, name := range f.Names() {
		stored, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = engine.Array{Type: onnx.Float32, Data: stored.Data}.Floats()
	}
	return all
}

// Scores of a policy and another reference, and rewards, are the CPU's.
func TestGuardedScoresAsTheCPU(t *testing.T) { scoresAsTheCPU(t, guarded) }

func scoresAsTheCPU(t *testing.T, d ort.Device) {
	t.Helper()
	llama := golden.Testdata(t, "models", "tiny-llama")
	for name, c := range map[string]ScoreConfig{
		"policy":            scoreConfig(llama, ""),
		"another reference": scoreConfig(llama, golden.Testdata(t, "models", "tiny-llama-bf16")),
		"adapter":           scoreConfig(golden.Testdata(t, "adapters", "tiny-llama-lora"), llama),
		"reward":            scoreConfig(rewardDir(t, llama, nil), ""),
		"exported":          scoreConfig(golden.Testdata(t, "exported", "llama-optimum.onnx"), ""),
	} {
		t.Run(name, func(t *testing.T) {
			score := func(device string) []Scores {
				c.Device = device
				s, err := NewScorer(c, loadTokenizer(t, c.Model))
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				scores, err := s.Score(groupsOf(t, writePairs(t, 12)))
				if err != nil {
					t.Fatal(err)
				}
				return scores
			}
			want, got := score("cpu"), score(d.String())
			for i, w := range want {
				for k := range w.Policy {
					asOnCPU(t, 1e-5, "log-probability", got[i].Policy[k], w.Policy[k])
				}
				for k := range w.Reference {
					asOnCPU(t, 1e-5, "the reference's log-probability", got[i].Reference[k], w.Reference[k])
				}
				for k := range w.Rewards {
					asOnCPU(t, 1e-5, "reward", got[i].Rewards[k], w.Rewards[k])
				}
			}
		})
	}
}

// groupsOf reads a file of preferences.
func groupsOf(t *testing.T, path string) (groups []datasets.Group) {
	t.Helper()
	for g, err := range datasets.Read([]string{path}, datasets.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	return groups
}
