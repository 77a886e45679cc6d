package dpo

import (
	"math"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// judged is what transformers and PyTorch say of one model: see scripts/golden/make_gradients.py.
type judged struct {
	Model   string
	Batches []struct{ Groups []judgedGroup }
	DPO     struct {
		Beta, Loss float64
		Losses     []float64
		Rewards    [][]float64
	}
	Greedy []continued // of architectureModels
	Reward rewarded
}

type judgedGroup struct {
	Prompt      []int32
	Completions []struct {
		IDs          []int32
		Start        int
		Weight       float64
		TokenLogps   []float64 `json:"token_logps"`
		TokenLogps32 []float64 `json:"token_logps32"`
		Logp, Logp32 float64
		Reference    float64
	}
}

// gradientModels have golden gradients; scoredModels log-probabilities alone.
var (
	gradientModels = append([]string{"tiny-llama", "tiny-llama-untied", "tiny-llama-rope3", "tiny-llama-linear", "tiny-llama-dynamic",
		"tiny-mistral", "tiny-qwen2", "tiny-qwen3"}, architectureModels...)
	scoredModels = append([]string{"tiny-llama-bf16", "tiny-llama-f16"}, gradientModels...)
)

// Every architecture has a model whose log-probabilities and gradients are held against PyTorch's.
func TestArchitecturesHaveGoldenModels(t *testing.T) {
	covered := map[string]bool{}
	for _, model := range gradientModels {
		class, _, err := models.Describe(golden.Testdata(t, "models", model))
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{".json", ".weighted.safetensors", ".dpo.safetensors"} {
			golden.Testdata(t, "golden", model+kind)
		}
		covered[class] = true
	}
	for _, class := range models.Architectures() {
		if !strings.HasSuffix(class, "ForSequenceClassification") && !covered[class] {
			t.Errorf("no model of gradientModels is a %s: add one here and to scripts/golden", class)
		}
	}
}

func readJudged(t *testing.T, model string) (j judged) {
	t.Helper()
	golden.JSON(t, golden.Testdata(t, "golden", model+".json"), &j)
	return j
}

// examples gives a batch's groups, and the weight of each of their log-probabilities.
func examples(groups []judgedGroup) (out []datasets.Example, weights []float64) {
	for _, g := range groups {
		x := datasets.Example{Prompt: g.Prompt}
		for _, c := range g.Completions {
			x.Completions = append(x.Completions, datasets.Completion{IDs: c.IDs, Start: c.Start})
			weights = append(weights, c.Weight)
		}
		out = append(out, x)
	}
	return out, weights
}

// Log-probabilities are as near to transformers in float64 as float32 transformers are, times four; at worst 1e-5 a
// token.
func TestLogProbsEqualTransformers(t *testing.T) {
	for _, model := range scoredModels {
		t.Run(model, func(t *testing.T) {
			j := readJudged(t, model)
			n, err := openFrozen(golden.Testdata(t, "models", model), onnx.Float32, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer n.close()
			var ours, theirs float64
			for _, b := range j.Batches {
				groups, _ := examples(b.Groups)
				pass, err := n.engine.Score(n.weights, n.batch(groups))
				if err != nil {
					t.Fatal(err)
				}
				at := 0
				for _, g := range b.Groups {
					for _, c := range g.Completions {
						for i, want := range c.TokenLogps {
							ours = math.Max(ours, math.Abs(pass.TokenLogProbs[at]-want))
							theirs = math.Max(theirs, math.Abs(c.TokenLogps32[i]-want))
							at++
						}
					}
				}
				if at != len(pass.TokenLogProbs) {
					t.Fatalf("%d tokens are scored, %d should be", len(pass.TokenLogProbs), at)
				}
			}
			t.Logf("largest error of a token's log-probability %.1e, transformers' own in float32 %.1e", ours, theirs)
			if bar := math.Max(4*theirs, 1e-5); ours > bar {
				t.Errorf("error %.2e, bar %.2e", ours, bar)
			}
		})
	}
}

// Whole-model gradients equal PyTorch's in float64, on every rung: per tensor to 1e-8, or 1e-12 of the whole gradient.
func TestGradientsEqualPyTorch(t *testing.T) {
	for _, model := range gradientModels {
		for _, rung := range artifact.Rungs {
			t.Run(model+"/"+string(rung), func(t *testing.T) {
				worst := compareGradients(t, model, onnx.Float64, rung, 1e-8, 1e-12)
				t.Logf("largest relative error of a tensor's gradient %.1e", worst)
			})
		}
	}
}

// In float32 they do to 1e-5 of each tensor's largest element.
func TestGradientsInFloat32(t *testing.T) {
	for _, model := range gradientModels {
		for _, rung := range artifact.Rungs {
			t.Run(model+"/"+string(rung), func(t *testing.T) {
				worst := compareGradients(t, model, onnx.Float32, rung, 1e-5, 1e-12)
				t.Logf("largest error of a tensor's gradient, in its largest element, %.1e", worst)
			})
		}
	}
}

// compareGradients holds the gradient of Σ weight·logp against PyTorch's: errors in units of a tensor's norm (float64) or
// largest element (float32). small is the share of the whole gradient's norm below which a tensor counts as zero.
func compareGradients(t *testing.T, model string, compute onnx.DType, rung artifact.Rung, bar, small float64) float64 {
	t.Helper()
	j, want := readJudged(t, model), golden.Tensors(t, golden.Testdata(t, "golden", model+".weighted.safetensors"))
	plan := engine.Uniform(rung, 99)
	plan.HeadColumns = 50
	n := openTest(t, golden.Testdata(t, "models", model), compute, engine.Options{Plan: plan})
	grads, err := n.engine.NewGradients()
	if err != nil {
		t.Fatal(err)
	}
	defer grads.Close()
	for _, b := range j.Batches {
		groups, weights := examples(b.Groups)
		accumulate(t, n, grads, groups, weights)
	}
	return gradientsApart(t, values(t, n, grads), want, compute, bar, small)
}

// gradientsApart compares gradients by tensor: errors in units of a tensor's norm (float64) or largest element (float32).
func gradientsApart(t *testing.T, sum map[string][]float64, want map[string]golden.Tensor, compute onnx.DType, bar, small float64) float64 {
	t.Helper()
	if len(sum) != len(want) {
		t.Fatalf("%d tensors have gradients, PyTorch has %d", len(sum), len(want))
	}
	whole := 0.0
	for _, w := range want {
		whole += square(w.Values)
	}
	worst := 0.0
	for name, w := range want {
		diff, scale := distance(sum[name], w.Values), math.Sqrt(square(w.Values))
		if compute == onnx.Float32 {
			diff, scale = furthest(sum[name], w.Values), largest(w.Values)
		}
		if relative := diff / scale; relative > bar && diff > small*math.Sqrt(whole) {
			t.Errorf("gradient of %s: error %.2e, bar %.0e", name, relative, bar)
		} else if scale > 0 {
			worst = math.Max(worst, relative)
		}
	}
	return worst
}

func square(values []float64) float64 {
	sum := 0.0
	for _, x := range values {
		sum += x * x
	}
	return sum
}

func distance(a, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	diff := make([]float64, len(a))
	for i := range a {
		diff[i] = a[i] - b[i]
	}
	return math.Sqrt(square(diff))
}

func largest(values []float64) float64 {
	most := 0.0
	for _, x := range values {
		most = math.Max(most, math.Abs(x))
	}
	return most
}

func furthest(a, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	most := 0.0
	for i := range a {
		most = math.Max(most, math.Abs(a[i]-b[i]))
	}
	return most
}

// The DPO loss and its whole gradient, in float64, equal PyTorch's.
func TestLossGradientEqualsPyTorch(t *testing.T) {
	for _, model := range gradientModels {
		t.Run(model, func(t *testing.T) {
			j, want := readJudged(t, model), golden.Tensors(t, golden.Testdata(t, "golden", model+".dpo.safetensors"))
			n := openTest(t, golden.Testdata(t, "models", model), onnx.Float64, engine.Options{})
			groups, _ := examples(j.Batches[0].Groups)
			var reference [][]float64
			for _, g := range j.Batches[0].Groups {
				reference = append(reference, []float64{g.Completions[0].Reference, g.Completions[1].Reference})
			}
			pass, err := n.engine.Forward(n.weights, n.batch(groups))
			if err != nil {
				t.Fatal(err)
			}
			config, _ := NewConfig("paper")
			config.Beta = j.DPO.Beta
			m, err := newMethod(config, named(t, n.engine.Artifact().Loss), n.engine.Artifact())
			if err != nil {
				t.Fatal(err)
			}
			out, err := m.loss(n.engine, measured{groups: groups, policy: pass.LogProbs, reference: reference}, nil, whole{total: len(groups)})
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(out.loss-j.DPO.Loss) > 1e-10 {
				t.Errorf("loss %v, PyTorch's %v", out.loss, j.DPO.Loss)
			}
			grads, err := n.engine.NewGradients()
			if err != nil {
				t.Fatal(err)
			}
			defer grads.Close()
			if err := pass.Backward(grads, out.dlogps); err != nil {
				t.Fatal(err)
			}
			for name, g := range values(t, n, grads) {
				if e := distance(g, want[name].Values) / math.Sqrt(square(want[name].Values)); e > 1e-8 {
					t.Errorf("gradient of %s: relative error %.2e", name, e)
				}
			}
		})
	}
}

// Every loss is exported with its gradient, which central differences of the loss confirm.
func TestLossGraphsHaveGradients(t *testing.T) {
	for _, name := range loss.Names() {
		l, err := loss.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		g, err := lossWithGradient(l, onnx.Float64)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if g.Output("dlogps") == nil {
			t.Errorf("%s: no output dlogps", name)
		}
	}
}
