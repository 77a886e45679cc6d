package dporot_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutations are bugs that come near loose bars. Each is put into the source as an overlay, and the named test must fail.
var mutations = []struct {
	name         string
	file         string
	old, mutated string
	pkg, test    string
}{
	{
		name: "positions of rejected answers off by one",
		file: "dpo/batch.go",
		old:  "before = l.add(id, promptLength+i, length)", mutated: "before = l.add(id, promptLength+i+min(k, 1), length)",
		pkg: "./dpo", test: "TestLogProbsEqualTransformers",
	},
	{
		name: "a token of the chosen answer leaks into the rejected one",
		file: "dpo/batch.go",
		old:  "l.completionRows[slot] = before", mutated: "l.completionRows[slot] = before\n\t\tif k == 1 && i == 0 {\n\t\t\tl.completionRows[slot] = l.completionRows[slot-l.C]\n\t\t}",
		pkg: "./dpo", test: "TestLogProbsEqualTransformers",
	},
	{
		name: "a window of one token more",
		file: "dpo/batch.go",
		old:  "return max(query-window+1, 0)", mutated: "return max(query-window, 0)",
		pkg: "./dpo", test: "TestLogProbsEqualTransformers",
	},
	{
		name: "a window that counts from the answer's start",
		file: "dpo/batch.go",
		old:  "firstSeen(len(x.Prompt)+query, window)", mutated: "firstSeen(query, window)",
		pkg: "./dpo", test: "TestLogProbsEqualTransformers",
	},
	{
		name: "a mask of minus infinity",
		file: "dpo/batch.go",
		old:  "const hidden = -1e9", mutated: "const hidden = -1e39",
		pkg: "./dpo", test: "TestBatchesAreFinite",
	},
	{
		name: "micro-batches whose losses are not scaled to the step",
		file: "dpo/method.go",
		old:  "from.share(g)/float64(all.total))", mutated: "from.share(g)/float64(G))",
		pkg: "./dpo", test: "TestMicroBatchesEqualOneBatch",
	},
	{
		name:    "gradients scattered by ScatterND",
		file:    "runtime/autodiff/rules_index.go",
		old:     "return s.scatterAdd(into, s.op(\"Expand\", places, s.op(\"Shape\", updates)), updates, axis)",
		mutated: "_ = places\n\t\treturn s.Op(\"ScatterND\", []*onnx.Value{into, s.unsqueeze(indices, -1), updates}, onnx.Attrs{\"reduction\": \"add\"})",
		pkg:     "./runtime/autodiff", test: "TestGatherLarge",
	},
}

func TestMutationsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("short: mutations build and test packages again")
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			source, err := filepath.Abs(m.file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(text), m.old) != 1 {
				t.Fatalf("%s does not hold %q exactly once: name what the mutation changes anew", m.file, m.old)
			}
			if out, err := goTest(m.pkg, m.test, ""); err != nil {
				t.Fatalf("%s fails without the mutation:\n%s", m.test, out)
			} else if !strings.Contains(out, "--- PASS: "+m.test) {
				t.Fatalf("%s did not run:\n%s", m.test, out)
			}
			out, err := goTest(m.pkg, m.test, overlay(t, source, strings.Replace(string(text), m.old, m.mutated, 1)))
			if err == nil {
				t.Errorf("%s passes with the mutation", m.test)
			} else if !strings.Contains(out, "--- FAIL: "+m.test) {
				t.Errorf("the mutation does not build or %s does not run:\n%s", m.test, out)
			}
		})
	}
}

// overlay makes a file for go test -overlay that shows text in the place of source.
func overlay(t *testing.T, source, text string) string {
	t.Helper()
	dir := t.TempDir()
	mutated, list := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json")
	data, err := json.Marshal(map[string]map[string]string{"Replace": {source: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{mutated: []byte(text), list: data} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func goTest(pkg, test, overlay string) (string, error) {
	args := []string{"test", "-count=1", "-v", "-run", "^" + test + "$"}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	out, err := exec.Command("go", append(args, pkg)...).CombinedOutput()
	return string(out), err
}
