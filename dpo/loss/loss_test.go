package loss

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Each loss says what it is, and takes a ranking or says which loss does.
func TestEachLossSaysWhatItTakes(t *testing.T) {
	for _, name := range Names() {
		l, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if l.Says == "" || strings.Contains(l.Says, "\n") || l.Paper == "" {
			t.Errorf("%s: says %q, of %q; want a line and a paper", name, l.Says, l.Paper)
		}
		if (l.Check(1) == nil) != (l.Alone || l.Unpaired) || l.Check(0) == nil || (l.Check(2) == nil) == l.Unpaired {
			t.Errorf("%s: one completion gives %v, two %v", name, l.Check(1), l.Check(2))
		}
		err = l.Check(3)
		if want := "loss " + name + " compares two completions, there are 3: plackett_luce takes a ranking"; l.Pairs && (err == nil || err.Error() != want) {
			t.Errorf("%s: three completions give %v, want %s", name, err, want)
		} else if !l.Pairs && (err != nil) != l.Unpaired {
			t.Errorf("%s: three completions give %v", name, err)
		}
	}
}

// A graph asks for no more than its loss uses: lengths are for what is averaged over tokens, label smoothing for what takes it.
func TestGraphsHaveTheInputsTheyUse(t *testing.T) {
	of := map[string][]string{}
	for _, name := range Names() {
		for _, dtype := range []onnx.DType{onnx.Float32, onnx.Float64} {
			g, err := Graph(registry[name], dtype)
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range g.Inputs {
				if !slices.Contains(of[in.Name], name) {
					of[in.Name] = append(of[in.Name], name)
				}
			}
		}
	}
	if got := of["lengths"]; !slices.Equal(got, []string{"ipo_mean", "orpo", "sft_mean", "sigmoid_norm", "simpo"}) {
		t.Errorf("lengths are an input of %v", got)
	}
	if got := of["margin"]; !slices.Equal(got, []string{"odpo"}) {
		t.Errorf("the margin is an input of %v", got)
	}
	if got := of["mean_tokens"]; !slices.Equal(got, []string{"cpo", "orpo", "sft"}) {
		t.Errorf("the mean number of tokens is an input of %v", got)
	}
	free := slices.DeleteFunc(Names(), func(name string) bool { return !registry[name].Free && !registry[name].Alone })
	if got := of["reference_logps"]; len(got)+len(free) != len(Names()) || slices.ContainsFunc(free, func(name string) bool { return slices.Contains(got, name) }) {
		t.Errorf("the reference is an input of %v; %v are free of it", got, free)
	}
	if got := of["label_smoothing"]; !slices.Equal(got, Taking("label_smoothing")) || !slices.Contains(got, "robust") || slices.Contains(got, "hinge") {
		t.Errorf("label smoothing is an input of %v, and a setting of %v", got, Taking("label_smoothing"))
	}
	if got := of["beta"]; !slices.Equal(got, Comparing()) || slices.Contains(got, "nll") {
		t.Errorf("beta is an input of %v", got)
	}
}

func TestUnknownLossNamesTheKnown(t *testing.T) {
	if _, err := Lookup("hings"); err == nil || !strings.Contains(err.Error(), `unknown loss "hings": aot, aot_unpaired, apo_down`) {
		t.Errorf("error %v", err)
	}
}

// Each graph has an input for every setting of its loss, whose default lies in its range, and says what it is.
func TestSettingsAreInputs(t *testing.T) {
	for _, name := range Names() {
		l := registry[name]
		g, err := Graph(l, onnx.Float64)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range l.Settings {
			x, err := strconv.ParseFloat(s.Default, 64)
			if g.Input(s.Name) == nil || err != nil || !s.Range.Has(x) || s.About == "" || strings.Contains(s.About, "\n") {
				t.Errorf("%s: setting %+v, inputs %v", name, s, g.Inputs)
			}
		}
	}
}

// A setting that is not a loss's own is refused by name, with whose it is.
func TestSettingsAreRefusedByName(t *testing.T) {
	for _, c := range []struct{ loss, setting, value, want string }{
		{"simpo", "gama", "1", "gama is no setting of simpo, which has gamma: did you mean gamma?"},
		{"sigmoid", "gamma", "1", "gamma is a setting of simpo, not of sigmoid, which has none"},
		{"discopop", "lambda", "1", "lambda is a setting of dpop, not of discopop, which has tau"},
		{"discopop", "tau", "0", "tau of discopop must lie in (0, 1], it is 0"},
		{"sigmoid", "beta", "1", "beta has a flag of its own, --beta"},
		{"sft", "label_smoothing", "0.1", "label_smoothing has a flag of its own, --label-smoothing"},
	} {
		if _, err := registry[c.loss].Resolve(settings.Values{c.setting: c.value}); err == nil || err.Error() != c.want {
			t.Errorf("%s %s=%v: error %v, want %s", c.loss, c.setting, c.value, err, c.want)
		}
	}
	got, err := registry["dpop"].Resolve(nil)
	if err != nil || len(got) != 1 || got["lambda"] != 50 {
		t.Errorf("dpop without settings has %v (%v)", got, err)
	}
}

// A mixture needs what its losses need.
func TestMixturesNeedWhatTheirLossesNeed(t *testing.T) {
	l, err := Lookup("odpo=0.5, sft")
	if err != nil || !l.Pairs || l.Free || !slices.Equal(l.Columns, []string{"margin"}) || l.Says != "0.5·odpo + 1·sft" {
		t.Errorf("%+v (%v)", l, err)
	}
	g, err := Graph(l, onnx.Float64)
	if err != nil || g.Input("alpha") == nil || g.Input("mean_tokens") == nil || g.Output("rewards") == nil {
		t.Errorf("%v (%v)", g, err)
	}
	for _, name := range []string{"simpo=1,sft=1", "cpo"} {
		if l, err := Lookup(name); err != nil || !l.Free {
			t.Errorf("%s: %+v (%v)", name, l, err)
		}
	}
}

// What cannot be mixed is refused by name.
func TestMixturesAreRefusedByName(t *testing.T) {
	for text, want := range map[string]string{
		"sigmoid=0.8,hings=1":  `unknown loss "hings": aot, `,
		"sigmoid=0,sft=1":      `the weight of sigmoid must be a positive number, it is "0"`,
		"sigmoid=NaN,sft=1":    `the weight of sigmoid must be a positive number, it is "NaN"`,
		"sigmoid=Inf":          `the weight of sigmoid must be a positive number, it is "Inf"`,
		"sigmoid=-1,sft=1":     `the weight of sigmoid must be a positive number, it is "-1"`,
		"sigmoid=":             `the weight of sigmoid must be a positive number, it is ""`,
		"sigmoid=1,sigmoid=2":  "sigmoid is given twice",
		"sigmoid=1,":           `"" names no loss: write NAME=WEIGHT`,
		"sigmoid=1,nll=1":      "nll is of completions by themselves and cannot be mixed: sft",
		"cpo=1,odpo=1":         "alpha is one thing to cpo (weight of the chosen answers' likelihood) and another to odpo (factor of the margin)",
		"sigmoid=1,own.onnx=1": "the loss of a file, own.onnx, cannot be mixed",
	} {
		if _, err := Lookup(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
}

// An f-divergence is for losses that see the difference of two ratios, and for no others.
func TestDivergencesHaveTheirPlace(t *testing.T) {
	for name, want := range map[string]string{"apo_zero": "js_divergence has no place in loss apo_zero: it has one in discopop", "simpo": "no place in loss simpo"} {
		if _, err := registry[name].Under("js_divergence"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", name, err, want)
		}
	}
	if _, err := registry["sigmoid"].Under("js"); err == nil || !strings.Contains(err.Error(), "alpha_divergence, forward_kl, js_divergence and reverse_kl are known") {
		t.Errorf("error %v", err)
	}
	l, err := registry["sigmoid"].Under("alpha_divergence")
	if err != nil || !slices.Equal(settings.Names(settings.Named(l.Settings)), []string{"f_alpha_divergence_coef"}) || len(settings.Named(registry["sigmoid"].Settings)) > 0 {
		t.Errorf("%+v (%v)", l, err)
	}
}
