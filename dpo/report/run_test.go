package report

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lay writes files of a run.
func lay(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRead(t *testing.T) {
	dir := lay(t, map[string]string{
		"run/metrics.jsonl": `{"step":0,"eval_loss":0.7,"eval_groups":4}
{"step":1,"loss":0.69,"kl":0,"reference_seconds":2,"note":"text is no number"}
{"step":2,"loss":null,"kl":0.1}
{"step":3,"loss":0.5,"reference_seconds":1}
{"step":4,"loss":0.4,"kl":0.3}
{"step":4,"eval_loss":0.45,"eval_groups":4}
`,
		"run/config.yaml":   "model: models/llama\ndata:\n- a.jsonl\n- b.jsonl\nbeta: 0.1\nplan:\n  rung: stash\n  micro-batch: 4\n",
		"run/dropped.jsonl": strings.Repeat(`{"file":"a.jsonl","row":3,"reason":"equal"}`+"\n", 12),
		"run/eval.json":     `{"accuracy":{"mean":0.75,"ci":[0.7,0.8]},"model":"x","none":null}`,
	})
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	gap := math.NaN()
	for name, want := range map[string][]Point{
		"loss":              {{1, 0.69}, {2, gap}, {3, 0.5}, {4, 0.4}},
		"kl":                {{1, 0}, {2, 0.1}, {4, gap}, {4, 0.3}},
		"reference_seconds": {{1, 2}, {3, gap}, {3, 1}},
		"eval_loss":         {{0, 0.7}, {4, 0.45}},
		"note":              nil,
	} {
		same := func(a, b Point) bool {
			return a.Step == b.Step && (a.Value == b.Value || math.IsNaN(a.Value) && math.IsNaN(b.Value))
		}
		if !slices.EqualFunc(r.Series[name], want, same) {
			t.Errorf("%s is %v, want %v", name, r.Series[name], want)
		}
	}
	if want := []Setting{{"model", "models/llama"}, {"data", "a.jsonl, b.jsonl"}, {"beta", "0.1"}, {"plan.rung", "stash"}, {"plan.micro-batch", "4"}}; !slices.Equal(r.Settings, want) {
		t.Errorf("settings %v, want %v", r.Settings, want)
	}
	if r.Dropped.Rows != 12 || r.Dropped.Reasons["equal"] != 12 || len(r.Dropped.First) != firstDrops {
		t.Errorf("dropped %+v", r.Dropped)
	}
	want := []Setting{{"accuracy.ci.0", "0.7"}, {"accuracy.ci.1", "0.8"}, {"accuracy.mean", "0.75"}, {"model", "x"}, {"none", ""}}
	if len(r.Evaluations) != 1 || !slices.Equal(r.Evaluations[0].Values, want) {
		t.Errorf("evaluations %v, want %v", r.Evaluations, want)
	}
}

func TestReadRefuses(t *testing.T) {
	good := `{"step":1,"loss":0.5}` + "\n"
	for _, test := range []struct {
		name, file, text, want string
	}{
		{"damaged line", "metrics.jsonl", good + `{"step":2,"lo`, "metrics.jsonl:2: the line is damaged"},
		{"not a number", "metrics.jsonl", good + `{"step":2,"loss":NaN}`, "metrics.jsonl:2: the line is damaged"},
		{"too large", "metrics.jsonl", good + `{"step":2,"loss":1e999}`, "metrics.jsonl:2: the line is damaged"},
		{"no step", "metrics.jsonl", good + good + `{"loss":1}`, `metrics.jsonl:3: the line has no number "step"`},
		{"broken step", "metrics.jsonl", `{"step":1.5}`, "metrics.jsonl:1: step is 1.5"},
		{"steps go back", "metrics.jsonl", `{"step":7}` + "\n" + good, "metrics.jsonl:2: step 1 comes after step 7"},
		{"list", "metrics.jsonl", "[1]\n", "metrics.jsonl:1: the line is damaged"},
		{"settings", "config.yaml", "beta: [1\n", "config.yaml: "},
		{"list of settings", "config.yaml", "- beta\n", "config.yaml: "},
		{"dropped", "dropped.jsonl", "{\n", "dropped.jsonl:1: the line is damaged"},
		{"evaluation", "eval-a.json", "[1]", "an object of measurements is needed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{"run/metrics.jsonl": good}
			files["run/"+test.file] = test.text
			if _, err := Read(lay(t, files)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	if _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "name the directory that train wrote") {
		t.Errorf("no run: %v", err)
	}
}

func TestRunNames(t *testing.T) {
	for _, test := range []struct{ dirs, want []string }{
		{[]string{"runs/a/", "runs/b"}, []string{"a", "b"}},
		{[]string{"one/run", "two/run", "two/b"}, []string{"one/run", "two/run", "two/b"}},
		{[]string{"a", "a"}, []string{"a", "a"}},
		{[]string{"a", "x/a"}, []string{"a", "x/a"}},
		{nil, nil},
	} {
		var runs []Run
		for _, d := range test.dirs {
			runs = append(runs, Run{Name: d})
		}
		if got := names(runs); !slices.Equal(got, test.want) {
			t.Errorf("names of %v are %v, want %v", test.dirs, got, test.want)
		}
	}
}
