package report

import (
	"bytes"
	"encoding/json"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestFrontierFile(t *testing.T) {
	want := frontier()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "frontier.json")
	read := func(text string) (*Frontier, error) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return ReadFrontier(file)
	}
	if got, err := read(string(text)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v", got, err)
	}
	for text, want := range map[string]string{
		`{"points":[{"method":"ppo","kl":1}]}`:                 `points[0]: method "ppo" is none of dpo, preferred-ft`,
		`{"points":[{"method":"dpo","kl":1,"kl_se":-1}]}`:      "points[0]: a standard error is negative",
		`{"points":[{"method":"dpo","kl":1e200}]}`:             "points[0]: kl 1e+200",
		`{"bound":[{"kl":1e200}]}`:                             "bound[0]: kl 1e+200",
		`{"pionts":[]}`:                                        `unknown field "pionts"`,
		`{"points":[]} {}`:                                     "after top-level value",
		`{"points":`:                                           "it ends in the middle",
		`{"points":[{"method":"dpo","kl":"much","reward":1}]}`: "field points.kl is a string, where a number is needed",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// On the axis of roots a bar reaches to the roots of KL ± its standard error, and never below 0.
func TestErrorBars(t *testing.T) {
	root := func(v float64) float64 { return math.Sqrt(max(v, 0)) }
	for _, test := range []struct {
		kl, se float64
		want   mark
	}{
		{4, 1, mark{x: 2, left: 2 - math.Sqrt(3), right: math.Sqrt(5) - 2}},
		{0.01, 0.03, mark{x: 0.1, left: 0.1, right: 0.1}},
		{-0.01, 0.02, mark{x: 0, left: 0, right: 0.1}},
	} {
		got := FrontierPoint{KL: test.kl, KLSE: test.se}.mark(root)
		if math.Abs(got.x-test.want.x)+math.Abs(got.left-test.want.left)+math.Abs(got.right-test.want.right) > 1e-12 {
			t.Errorf("KL %v ± %v: %+v, want %+v", test.kl, test.se, got, test.want)
		}
	}
}

func TestBoundOfFewSamplesIsLeftOut(t *testing.T) {
	f := &Frontier{Bound: []BoundPoint{{KL: 2, ESS: 50}, {KL: 3, ESS: 49.9}, {KL: 1, ESS: 400}}}
	kept, left := f.bound()
	if left != 1 || len(kept) != 2 || kept[0].KL != 1 || kept[1].KL != 2 {
		t.Errorf("kept %v, left %d", kept, left)
	}
	if note := f.figures()[0].note; !strings.HasSuffix(note, "is under 50: 1.") {
		t.Errorf("the plot says %q", note)
	}
}

// A series a method: one glyph a point, beside one in the legend, and a line through the steps of each run.
func TestFrontierPlot(t *testing.T) {
	f := frontier().figures()[1]
	var titles []string
	for _, s := range f.series {
		titles = append(titles, s.title)
	}
	want := []string{"DPO", "Preferred-FT", "best of N", "", "", "", "bound (Eq. 4)", "reference's reward"}
	if !slices.Equal(titles, want) {
		t.Errorf("series %q, want %q", titles, want)
	}
	svg, err := f.onPage()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(svg), "fill:var(--c0)"); n != 6+1 {
		t.Errorf("%d glyphs of DPO, want its 6 points and the legend's", n)
	}
	for _, text := range []string{"√KL", "sentiment", "DPO", "best of N", "bound (Eq. 4)"} {
		if !strings.Contains(string(svg), ">"+text) {
			t.Errorf("the plot does not say %q", text)
		}
	}
}

func TestWritePlots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plots")
	r := Report{Runs: []Run{{Name: "a", Series: map[string][]Point{"loss": {{1, 0.7}, {2, 0.5}}}}}, Frontier: frontier()}
	files, err := WritePlots(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"frontier-kl.png", "frontier-kl.svg", "frontier-sqrt-kl.png", "frontier-sqrt-kl.svg", "loss.png", "loss.svg"}
	if !slices.Equal(files, want) {
		t.Errorf("files %v, want %v", files, want)
	}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".svg") {
			if svg := parse(t, string(text)); len(svg.all("svg")) != 1 || strings.Contains(string(text), "var(--") {
				t.Errorf("%s is no SVG of its own", name)
			}
			continue
		}
		image, err := png.Decode(bytes.NewReader(text))
		if err != nil || image.Bounds().Dx() != 1067 {
			t.Errorf("%s: %v, %v pixels wide, want 1067", name, err, image.Bounds().Dx())
		}
	}
	if _, err := WritePlots(filepath.Join(dir, "loss.png"), r); err == nil {
		t.Error("a file was taken for a folder")
	}
}
