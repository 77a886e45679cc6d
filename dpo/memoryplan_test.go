package dpo

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// What a pass takes is what the plan foretells from shapes: never more by 5 %, nor less by 15 %.
func TestNeedIsWhatPassesTake(t *testing.T) {
	for name, plan := range map[string]engine.Plan{"stash": {}, "probs": engine.Uniform(artifact.Probs, 2), "recompute": engine.Uniform(artifact.Recompute, 2),
		"mixed": {Recompute: 1, Probs: 1}, "head": {RecomputeHead: true, HeadColumns: 64}, "reward": {Probs: 1}, "adapter": {Probs: 1},
		"offloaded": {Probs: 1}} {
		t.Run(name, func(t *testing.T) {
			for _, prompt := range []int{160, longRows} {
				dir := golden.Testdata(t, "models", "tiny-llama")
				if name == "reward" {
					dir = rewardDir(t, dir, nil)
				}
				if name == "adapter" {
					dir = golden.Testdata(t, "adapters", "tiny-llama-sft")
				}
				options := engine.Options{Plan: plan}
				if name == "offloaded" {
					options.Device, options.Offload = ort.Device{Kind: ort.Guarded}, engine.OffloadParameters
				}
				n := openTest(t, dir, onnx.Float32, options)
				groups := randomGroups(12, n.model.Vocab, prompt, 192)
				for i, x := range groups {
					groups[i] = asked(n.model.Decoder, x)
				}
				batch := n.batch(groups)
				ort.TrimScratch()
				gradients(t, n, groups, slices.Repeat([]float64{1}, int(batch.Sizes["N"])))
				need, err := n.engine.Need(batch, plan, false)
				if err != nil {
					t.Fatal(err)
				}
				within(t, "activations", n.engine.PoolBytes(), need.Kept)
				if options.Device.OnHost() {
					within(t, "temporaries", int64(ort.ScratchPeak()), need.Scratch)
				}
			}
		})
	}
}

func within(t *testing.T, what string, taken, planned int64) {
	t.Helper()
	if ratio := float64(taken) / float64(planned); ratio > 1.05 || ratio < 0.85 {
		t.Errorf("%s take %d bytes, %d are planned (%.2f)", what, taken, planned, ratio)
	}
}

// shapeOf counts what newBatch lays out.
func TestShapesAreThoseOfBatches(t *testing.T) {
	n := openTest(t, golden.Testdata(t, "models", "tiny-llama"), onnx.Float32, engine.Options{})
	groups, _ := mixedGroups(n.model.Vocab)
	want, got := n.batch(groups).Sizes, shapeOf(groups, n.long).batch(n.fused).Sizes
	for symbol, size := range want {
		if got[symbol] != size {
			t.Errorf("%s is %d, planned with %d", symbol, size, got[symbol])
		}
	}
}

// The less memory there is, the slower the plan, and each fits; what cannot fit is refused with what it needs.
func TestPlanFitsItsMemory(t *testing.T) {
	c := tinyConfig(t)
	trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	fixed := Memory{Weights: 1 << 20, Gradients: 1 << 20, States: 2 << 20}
	slow, refused, plans := 0.0, false, map[MemoryPlan]bool{}
	for fixed.Limit = 16 << 20; fixed.Limit > 4<<20; fixed.Limit -= 16 << 10 {
		plan, m, err := trainer.planMemory(fixed)
		if err != nil {
			refused = true
			if !strings.Contains(err.Error(), "this run needs") {
				t.Fatal(err)
			}
			continue
		}
		if refused {
			t.Errorf("%d bytes are enough, more were not", fixed.Limit)
		}
		if m.Total() > fixed.Limit {
			t.Errorf("a plan of %d bytes for %d", m.Total(), fixed.Limit)
		}
		if s := trainer.slowdown(plan); s < slow {
			t.Errorf("a faster plan in less memory: %+v", plan)
		} else {
			slow = s
		}
		plans[plan] = true
	}
	if !refused || len(plans) < 4 {
		t.Errorf("refused is %v after %d plans", refused, len(plans))
	}
}

func TestTooLittleMemoryIsRefused(t *testing.T) {
	c := tinyConfig(t)
	c.Memory = "1MiB"
	_, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err == nil || !strings.Contains(err.Error(), "--memory allows 1.0 MiB") || !strings.Contains(err.Error(), "lower --max-length, or take --optimizer adafactor") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(c.Out); err == nil {
		t.Errorf("%s was written", c.Out)
	}
}

// A run does not depend on its plan beyond rounding, and releasing gradients changes no bit.
func TestPlansTrainTheSame(t *testing.T) {
	for name, c := range map[string]Config{Preference: tinyConfig(t), Likelihood: aimed(t, Likelihood), Reward: aimed(t, Reward), "adapter": adapterConfig(t, "tiny-llama-lora"),
		"adapter of one layer": adapterConfig(t, "tiny-mistral-layers")} {
		t.Run(name, func(t *testing.T) { plansTrainTheSame(t, c) })
	}
}

func plansTrainTheSame(t *testing.T, c Config) {
	c.MaxGradNorm = 0
	run := func(p MemoryPlan) (last Metrics, model []byte) {
		c := c
		c.Out, c.Planned = filepath.Join(t.TempDir(), "out"), &p
		steps, err := train(t, c, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		file := "model.safetensors"
		if models.IsAdapter(c.Model) {
			file = "adapter_model.safetensors"
		}
		model, err = os.ReadFile(filepath.Join(c.Out, file))
		if err != nil {
			t.Fatal(err)
		}
		return steps[len(steps)-1], model
	}
	whole, model := run(MemoryPlan{MicroTokens: 4096})
	released, same := run(MemoryPlan{MicroTokens: 4096, Release: true})
	if !slices.Equal(model, same) {
		t.Error("released gradients give another model")
	}
	thrifty, _ := run(MemoryPlan{MicroTokens: 64, Passes: engine.Plan{Recompute: 1, Probs: 1, RecomputeHead: true, HeadColumns: 64}})
	for name, m := range map[string]Metrics{"released": released, "thrifty": thrifty} {
		if math.Abs(m.Loss/whole.Loss-1) > 1e-5 || math.Abs(m.GradNorm/whole.GradNorm-1) > 1e-5 {
			t.Errorf("%s: loss %v and norm %v, want %v and %v", name, m.Loss, m.GradNorm, whole.Loss, whole.GradNorm)
		}
	}
}

// A run keeps its plan, whatever the machine has when it goes on.
func TestResumeGoesOnByThePlan(t *testing.T) {
	c := tinyConfig(t)
	c.Planned = &MemoryPlan{MicroTokens: 128, Passes: engine.Plan{Probs: 2}}
	if _, err := train(t, c, false, func(step int) bool { return step == 2 }); err == nil {
		t.Fatal("it was not stopped")
	}
	text, err := os.ReadFile(filepath.Join(c.Out, runFolder, configFile))
	if err != nil {
		t.Fatal(err)
	}
	var kept Config
	if err := yaml.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	if kept.Planned == nil || *kept.Planned != *c.Planned {
		t.Errorf("kept plan %+v", kept.Planned)
	}
	other := kept
	other.Out, other.Planned = c.Out, &MemoryPlan{MicroTokens: 64}
	if _, err := train(t, other, true, nil); err == nil || !strings.Contains(err.Error(), "another plan") {
		t.Errorf("another plan: error %v", err)
	}
	kept.Memory, kept.Out = "1MiB", c.Out
	if _, err := train(t, kept, true, nil); err != nil {
		t.Errorf("it does not go on: %v", err)
	}
}

func TestParseMemory(t *testing.T) {
	for text, want := range map[string]int64{"8GiB": 8 << 30, "4.5GB": 4_500_000_000, "512MiB": 512 << 20} {
		if got, err := parseMemory(text, ort.Device{}); err != nil || got != want {
			t.Errorf("%s is %d (%v)", text, got, err)
		}
	}
	half, err := parseMemory("50%", ort.Device{})
	whole, err2 := parseMemory("100%", ort.Device{})
	if err != nil || err2 != nil || half < whole/2-1 || half > whole/2+1 || whole < 64<<20 {
		t.Errorf("half is %d of %d (%v, %v)", half, whole, err, err2)
	}
	for _, text := range []string{"", "0", "-1GiB", "lots", "0%", "101%", "NaN%", "9999999999999999GiB"} {
		if n, err := parseMemory(text, ort.Device{}); err == nil {
			t.Errorf("%q is taken for %d", text, n)
		}
	}
}

// A released gradient that is not finite ends the run at the last checkpoint: some weights have moved.
func TestReleasedGradientNotFinite(t *testing.T) {
	c := tinyConfig(t)
	c.MaxGradNorm, c.LR, c.SaveEvery, c.Planned = 0, 1e30, 1, &MemoryPlan{MicroTokens: 4096, Release: true}
	_, err := train(t, c, false, nil)
	if err == nil || !strings.Contains(err.Error(), "step 2: ") || !strings.HasSuffix(err.Error(), "the last good state is "+filepath.Join(c.Out, runFolder, checkpointFolder, "step-000001")) {
		t.Errorf("error %v", err)
	}
}

func TestWorkRatios(t *testing.T) {
	var w work
	groups := randomGroups(2, 100, 16, 17) // 16 prompt rows, twice 16 answer rows a group
	groups[1].Prompt = groups[1].Prompt[:8]
	w.add(shapeOf(groups, longRows), groups)
	pairs, squares := 2.0*(16*16+2*16*32), 2.0*(32*32+24*24)
	for name, ratio := range map[string][2]float64{"padding": {w.ratios().Padding, 8.0 / 96}, "sharing": {w.ratios().Sharing, 24.0 / 112},
		"skipped": {w.ratios().Skipped, 1 - pairs/squares}} {
		if math.Abs(ratio[0]-ratio[1]) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, ratio[0], ratio[1])
		}
	}
}
