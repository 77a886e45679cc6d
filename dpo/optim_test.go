package dpo

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// optimInputs are the parameters and gradients that scripts/golden/make_optim.py ran the optimizers over.
type optimInputs struct {
	LR        float64
	Kept      []int // the steps after which parameters were written down
	Shapes    map[string][]int64
	Start     map[string][]float64
	Gradients map[string][]map[string][]float64
}

type optimCase struct {
	Settings    settings.Values
	Gradients   string
	Scale       float64
	WeightDecay float64 `json:"weight_decay"`
	Steps       []map[string][]float64
	BFloat16    []map[string][]float64 // by PyTorch's Muon as it is
}

// take takes ten steps of one tensor, and gives it after those that are kept.
func (in optimInputs) take(t *testing.T, o *optim.Optimizer, c optimCase, tensor string, dtype onnx.DType) (kept [][]float64) {
	shape := in.Shapes[tensor]
	r := o.Rule(optim.Parameter{Shape: shape, Hidden: tensor != "embedding"})
	g, err := r.Build(dtype, dtype)
	if err != nil {
		t.Fatal(err)
	}
	if err := artifact.VerifyAliases(g, r.Aliases); err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{"n": int64(len(in.Start[tensor]))}
	if len(shape) == 2 && r.Graph != optim.Flat {
		sizes = map[string]int64{"m": shape[0], "n": shape[1]}
	}
	e := openGraph(t, g)
	defer e.Close()
	values := map[string][]float64{"p": in.Start[tensor]}
	for _, s := range r.States {
		state, err := g.Input(s.Name).Shape.Eval(sizes)
		if err != nil {
			t.Fatal(err)
		}
		elements := int64(1)
		for _, d := range state {
			elements *= d
		}
		values[s.Name] = make([]float64, elements)
	}
	for i, gradients := range in.Gradients[c.Gradients] {
		values["g"] = gradients[tensor]
		for name, x := range o.Scalars(optim.Step{Index: i, Rate: in.LR, Scale: c.Scale, WeightDecay: c.WeightDecay}) {
			values[name] = []float64{x}
		}
		out := call(t, e, sizes, values)
		for next, input := range r.Aliases {
			values[input] = out[next]
		}
		if slices.Contains(in.Kept, i+1) {
			kept = append(kept, values["p"])
		}
	}
	return kept
}

// Each optimizer takes the ten steps that PyTorch's, transformers' or lion-pytorch's class takes in float64, of vectors, wide and tall
// matrices, and of an embedding: with its defaults and with each setting changed, with weight decay and a clipped gradient, and with
// gradients of 0, 1e-30 and 1e4. In float64 to 1e-10 of a tensor's largest number, in float32 to 1e-6.
func TestOptimizersEqualTheirReferences(t *testing.T) {
	var in optimInputs
	golden.JSON(t, golden.Testdata(t, "golden", "optim", "inputs.json"), &in)
	for _, name := range optim.Names() {
		var cases []optimCase
		golden.JSON(t, golden.Testdata(t, "golden", "optim", name+".json"), &cases)
		worst := map[onnx.DType]float64{}
		for _, c := range cases {
			o, err := optim.New(name, c.Settings)
			if err != nil {
				t.Fatal(err)
			}
			for tensor := range in.Shapes {
				for dtype, bar := range map[onnx.DType]float64{onnx.Float64: 1e-10, onnx.Float32: 1e-6} {
					for i, got := range in.take(t, o, c, tensor, dtype) {
						want := c.Steps[i][tensor]
						d := furthest(got, want) / largest(want)
						worst[dtype] = max(worst[dtype], d)
						if !(d <= bar) {
							t.Errorf("%s %v, %s gradients, %s, %s, step %d: %.1e apart\n%v\n%v", name, c.Settings, c.Gradients, tensor, dtype, in.Kept[i], d, got, want)
						}
					}
				}
			}
		}
		t.Logf("%s: apart by %.1e in float64, %.1e in float32", name, worst[onnx.Float64], worst[onnx.Float32])
		if settings := changed(cases); !slices.Equal(settings, settingsOf(t, name)) {
			t.Errorf("%s: its cases change the settings %v, it has %v", name, settings, settingsOf(t, name))
		}
	}
}

// changed are the settings that the cases change, sorted.
func changed(cases []optimCase) (names []string) {
	for _, c := range cases {
		for name := range c.Settings {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func settingsOf(t *testing.T, optimizer string) []string {
	k, err := optim.Lookup(optimizer)
	if err != nil {
		t.Fatal(err)
	}
	names := settings.Names(k.Settings)
	slices.Sort(names)
	return names
}

// PyTorch's Muon, which computes its iteration in bfloat16, stays as near to ours as that type allows: the sum of ten updates to 5 %.
func TestMuonIsPyTorchsButForItsType(t *testing.T) {
	var in optimInputs
	golden.JSON(t, golden.Testdata(t, "golden", "optim", "inputs.json"), &in)
	var cases []optimCase
	golden.JSON(t, golden.Testdata(t, "golden", "optim", "muon.json"), &cases)
	compared := 0
	for _, c := range cases {
		if c.BFloat16 == nil {
			continue
		}
		for tensor, start := range in.Start {
			last := len(c.Steps) - 1
			ours, torch := c.Steps[last][tensor], c.BFloat16[last][tensor]
			d := furthest(ours, torch) / furthest(torch, start)
			compared++
			t.Logf("%v %s: %.1e", c.Settings, tensor, d)
			if !(d <= 0.05) {
				t.Errorf("%v: %s: %.1e apart", c.Settings, tensor, d)
			}
		}
	}
	if compared == 0 {
		t.Error("nothing was compared")
	}
}

// Schedules with TRL's warm-up are transformers'; the paper's warm-up is its code's.
func TestSchedulesEqualTransformers(t *testing.T) {
	var cases []struct {
		Schedule      string
		Settings      settings.Values
		Rate          float64
		Warmup, Total int
		Rates         []float64
	}
	golden.JSON(t, golden.Testdata(t, "golden", "schedule.json"), &cases)
	seen, given := map[string]bool{"constant": true}, map[string]bool{}
	for _, c := range cases {
		seen[c.Schedule] = true
		for setting := range c.Settings {
			given[c.Schedule+" "+setting] = true
		}
		s, err := optim.NewSchedule(c.Schedule, c.Settings, c.Rate, c.Warmup, c.Total, "trl")
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.Rates {
			if math.Abs(s.Rate(i)-want) > 1e-15 {
				t.Errorf("%s %v: the rate of step %d is %v, transformers has %v", c.Schedule, c.Settings, i, s.Rate(i), want)
			}
		}
	}
	for _, name := range optim.Schedules() {
		if !seen[name] {
			t.Errorf("schedule %s has no case", name)
		}
		k, err := optim.LookupSchedule(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, setting := range settings.Names(k.Settings) {
			if !given[name+" "+setting] {
				t.Errorf("schedule %s: no case gives its setting %s", name, setting)
			}
		}
	}
	const warmup = 5
	for _, name := range []string{"constant", "linear", "cosine", "inverse_sqrt"} {
		s, err := optim.NewSchedule(name, nil, 1, warmup, 20, "paper")
		if err != nil {
			t.Fatal(err)
		}
		for i := range warmup {
			if want := float64(i+1) / (warmup + 1); s.Rate(i) != want {
				t.Errorf("%s: the paper's rate of step %d is %v, want %v", name, i, s.Rate(i), want)
			}
		}
	}
	if s, err := optim.NewSchedule("constant", nil, 1, 0, 20, "trl"); err != nil || s.Rate(0) != 1 || s.Rate(19) != 1 {
		t.Errorf("constant: %v and %v, error %v", s.Rate(0), s.Rate(19), err)
	}
}

// Weight decay applies to the parameters that transformers' Trainer applies it to, of each test model.
func TestDecayIsThatOfTransformers(t *testing.T) {
	var want map[string]map[string]bool
	golden.JSON(t, golden.Testdata(t, "golden", "decay.json"), &want)
	for model, decays := range want {
		_, d, err := models.Describe(golden.Testdata(t, "models", model))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, s := range d.Stages() {
			for _, p := range s.Params {
				seen[p.Tensor] = true
				if decay, ok := decays[p.Tensor]; !ok || optim.Decays(p.Tensor) != decay {
					t.Errorf("%s: %s decays: %v; transformers: %v (known: %v)", model, p.Tensor, optim.Decays(p.Tensor), decay, ok)
				}
			}
		}
		for tensor := range decays {
			if !seen[tensor] {
				t.Errorf("%s: transformers trains %s, we do not", model, tensor)
			}
		}
	}
	for tensor, want := range map[string]bool{ // of adapters, and of architectures to come
		"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight":                true,
		"base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector.weight": true,
		"model.norm.weight": false, "model.layers.0.self_attn.q_norm.weight": false, "model.layers.0.mlp.c_fc.bias": false, "model.abnormal.weight": true,
	} {
		if optim.Decays(tensor) != want {
			t.Errorf("%s decays: %v", tensor, !want)
		}
	}
}

// Settings are refused by the names of those that have them.
func TestOptimizerSettingsAreChecked(t *testing.T) {
	for _, c := range []struct {
		optimizer string
		given     settings.Values
		want      string
	}{
		{"adamw", settings.Values{"beta1": "1", "eps": "-1"}, "beta1 of adamw must lie in [0, 1), it is 1; eps of adamw must be at least 0, it is -1"},
		{"adamw", settings.Values{"nesterov": "true"}, "nesterov is a setting of muon and sgd, not of adamw, which has beta1, beta2 and eps"},
		{"muon", settings.Values{"ns_steps": "2.5"}, "ns_steps of muon must be a whole number in [1, 99], it is 2.5"},
		{"lion", settings.Values{"beta1": "0"}, "beta1 of lion must lie in (0, 1), it is 0"},
		{"adam", nil, "unknown optimizer \"adam\""},
	} {
		if _, err := optim.New(c.optimizer, c.given); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: error %v, want %s", c.optimizer, c.given, err, c.want)
		}
	}
	_, err := optim.NewSchedule("linear", settings.Values{"min_lr": "1"}, 1, 0, 10, "paper")
	if want := "min_lr is a setting of cosine_with_min_lr, not of linear, which has none"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Muon is refused where no matrix of a hidden layer is trained.
func TestMuonNeedsAMatrix(t *testing.T) {
	o, err := optim.New("muon", nil)
	if err != nil {
		t.Fatal(err)
	}
	outer := []optim.Parameter{{Shape: []int64{8, 4}}, {Shape: []int64{4}, Hidden: true}}
	if err := o.Check(outer); err == nil || !strings.Contains(err.Error(), "none is trained, of 2 tensors") {
		t.Errorf("error %v", err)
	}
	if err := o.Check(append(outer, optim.Parameter{Shape: []int64{8, 4}, Hidden: true})); err != nil {
		t.Error(err)
	}
}
