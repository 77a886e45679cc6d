package loss

import (
	"slices"
	"strings"
	"testing"

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
		if (l.Check(1) == nil) != l.Alone || l.Check(0) == nil || l.Check(2) != nil {
			t.Errorf("%s: one completion gives %v, two %v", name, l.Check(1), l.Check(2))
		}
		err = l.Check(3)
		if want := "loss " + name + " compares two completions, there are 3: plackett_luce takes a ranking"; l.Pairs && (err == nil || err.Error() != want) {
			t.Errorf("%s: three completions give %v, want %s", name, err, want)
		} else if !l.Pairs && err != nil {
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
	if got := of["lengths"]; !slices.Equal(got, []string{"ipo_mean"}) {
		t.Errorf("lengths are an input of %v", got)
	}
	if got := of["label_smoothing"]; !slices.Equal(got, Taking("label_smoothing")) || !slices.Contains(got, "robust") || slices.Contains(got, "hinge") {
		t.Errorf("label smoothing is an input of %v, and a setting of %v", got, Taking("label_smoothing"))
	}
	if got := of["beta"]; !slices.Equal(got, Comparing()) || slices.Contains(got, "nll") {
		t.Errorf("beta is an input of %v", got)
	}
}

func TestUnknownLossNamesTheKnown(t *testing.T) {
	if _, err := Lookup("hings"); err == nil || !strings.Contains(err.Error(), `unknown loss "hings": hinge, ipo, ipo_mean`) {
		t.Errorf("error %v", err)
	}
}
