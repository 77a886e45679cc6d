package settings

import (
	"math"
	"strings"
	"testing"
)

// Values are read as they are written, in any order, and what is no setting is refused.
func TestValuesAreReadAsWritten(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"gamma=1.50, alpha=1e-3":       "alpha=0.001,gamma=1.5",
		"decay_type=1-sqrt,nesterov=a": "decay_type=1-sqrt,nesterov=a",
		"x=NaN":                        "x=NaN",
	} {
		var v, again Values
		if err := v.Set(text); err != nil || v.String() != want {
			t.Errorf("%q is written %q (%v), want %q", text, v, err, want)
		}
		if err := again.Set(v.String()); err != nil || again.String() != want {
			t.Errorf("%q is read as %q (%v)", want, again, err)
		}
	}
	for text, want := range map[string]string{
		"gamma":           `"gamma" is no setting: write NAME=VALUE, several with commas between them`,
		"gamma=":          `"gamma=" is no setting`,
		"=1":              `"=1" is no setting`,
		"gamma=1,,":       `"" is no setting`,
		"gamma=1,gamma=2": "gamma is given twice",
	} {
		v := Values{"kept": "1"}
		if err := v.Set(text); err == nil || !strings.Contains(err.Error(), want) || v.String() != "kept=1" {
			t.Errorf("%q gives %v and error %v, want %s", text, v, err, want)
		}
	}
}

// Each range has the numbers that it says it has.
func TestRangesHaveWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		r       Range
		says    string
		in, out []float64
	}{
		{AtLeast(0), "at least 0", []float64{0, 1e300}, []float64{-1e-300, math.Inf(1), math.NaN()}},
		{Above(0), "above 0", []float64{1e-300}, []float64{0, math.Inf(1), math.NaN()}},
		{Below(0), "below 0", []float64{-1e-300}, []float64{0, 1, math.Inf(-1), math.NaN()}},
		{AtLeast(0).Below(1), "in [0, 1)", []float64{0, 0.999}, []float64{-1, 1, math.NaN()}},
		{Above(0).AtMost(1), "in (0, 1]", []float64{1e-9, 1}, []float64{0, 1.001}},
		{Above(0).Below(0.5), "in (0, 0.5)", []float64{0.25}, []float64{0, 0.5}},
		{AtLeast(0).Whole(), "a whole number of at least 0", []float64{0, 7}, []float64{-1, 0.5}},
		{AtLeast(1).AtMost(99).Whole(), "a whole number in [1, 99]", []float64{1, 99}, []float64{0, 2.5, 100}},
	} {
		if c.r.String() != c.says {
			t.Errorf("%q, want %q", c.r, c.says)
		}
		for _, x := range c.in {
			if !c.r.Has(x) {
				t.Errorf("%v is not %s", x, c.r)
			}
		}
		for _, x := range c.out {
			if c.r.Has(x) {
				t.Errorf("%v is %s", x, c.r)
			}
		}
	}
}

// owner has one setting of each kind, beside others of its kind.
func owner() Owner {
	own := []Setting{
		{Name: "beta", Default: "0.1", Range: Above(0), Flag: "beta"},
		{Name: "gamma", Default: "0.5", Range: AtLeast(0)},
		{Name: "tau", Default: "1", Range: Above(0).AtMost(1)},
		{Name: "steps", Default: "5", Range: AtLeast(1).AtMost(99).Whole()},
		{Name: "shape", Default: "linear", Words: []string{"linear", "cosine", "1-sqrt"}},
		{Name: "nesterov", Default: "true", Words: YesNo},
	}
	return Owner{Name: "one", Settings: own, Peers: map[string][]Setting{
		"one": own, "bare": nil, "two": {{Name: "lambda"}}, "three": {{Name: "lambda"}, {Name: "label_smoothing", Flag: "label-smoothing"}}}}
}

// What is given stands, and defaults for the rest; a setting with a flag of its own is not among them.
func TestResolveCompletesByDefaults(t *testing.T) {
	r, err := owner().Resolve(Values{"gamma": "2e-1", "shape": "1-sqrt"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Number("gamma") != 0.2 || r.Number("tau") != 1 || r.Number("steps") != 5 || len(r.Numbers()) != 3 || r.Word("shape") != "1-sqrt" || !r.Yes("nesterov") {
		t.Errorf("resolved to %+v", r)
	}
	r.Numbers()["gamma"] = 7
	if r.Number("gamma") != 0.2 {
		t.Error("who changes what Numbers gave changes what was resolved")
	}
}

// One error names all that is wrong, with the name that is near, and the owners that have a setting.
func TestAllThatIsWrongIsNamed(t *testing.T) {
	const has = "which has gamma, tau, steps, shape and nesterov"
	for text, want := range map[string]string{
		"tau=0":                         "tau of one must lie in (0, 1], it is 0",
		"gamma=-1":                      "gamma of one must be at least 0, it is -1",
		"gamma=NaN":                     `gamma of one must be a number, it is "NaN"`,
		"gamma=1e999":                   `gamma of one must be a number, it is "1e999"`,
		"gamma=much":                    `gamma of one must be a number, it is "much"`,
		"steps=2.5":                     "steps of one must be a whole number in [1, 99], it is 2.5",
		"shape=cosin":                   `shape of one must be linear, cosine or 1-sqrt, it is "cosin": did you mean cosine?`,
		"nesterov=yes":                  `nesterov of one must be false or true, it is "yes"`,
		"gama=1":                        "gama is no setting of one, " + has + ": did you mean gamma?",
		"other=1":                       "other is no setting of one, " + has,
		"lambda=1":                      "lambda is a setting of three and two, not of one, " + has,
		"beta=1":                        "beta has a flag of its own, --beta",
		"label_smoothing=0":             "label_smoothing has a flag of its own, --label-smoothing",
		"beta=1,gamma=-1,gama=1,tau=.5": "gamma of one must be at least 0, it is -1; beta has a flag of its own, --beta; gama is no setting of one, " + has + ": did you mean gamma?",
	} {
		var v Values
		if err := v.Set(text); err != nil {
			t.Fatal(err)
		}
		if _, err := owner().Resolve(v); err == nil || err.Error() != want {
			t.Errorf("%s: error %v\nwant %s", text, err, want)
		}
	}
	bare := owner()
	bare.Name, bare.Settings = "bare", nil
	if _, err := bare.Resolve(Values{"gamma": "1"}); err == nil || err.Error() != "gamma is a setting of one, not of bare, which has none" {
		t.Errorf("error %v", err)
	}
}

// Two settings are one only if nothing tells them apart.
func TestSameSettings(t *testing.T) {
	for i, a := range owner().Settings {
		for j, b := range owner().Settings {
			if a.Same(b) != (i == j) {
				t.Errorf("%s and %s: %v", a.Name, b.Name, a.Same(b))
			}
		}
	}
	a := Setting{Name: "a", Default: "0", Range: AtLeast(0)}
	b := a
	if b.Range = Above(0); a.Same(b) {
		t.Error("another range makes no other setting")
	}
}
