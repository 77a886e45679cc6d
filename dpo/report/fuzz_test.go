package report

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// FuzzRun checks that what a run left can be drawn, or is refused.
func FuzzRun(f *testing.F) {
	f.Add("{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"loss\":null}\n{\"step\":2,\"eval_loss\":1}\n", "beta: 0.1\nplan: {a: [1, 2]}\n", `{"file":"a","row":1,"reason":"r"}`, `{"a":[1,{"b":null}]}`)
	f.Fuzz(func(t *testing.T, metrics, config, dropped, evaluation string) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"metrics.jsonl": metrics, "config.yaml": config, "dropped.jsonl": dropped, "eval.json": evaluation} {
			if err := os.WriteFile(filepath.Join(dir, "run", name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Read(dir)
		if err != nil {
			return
		}
		if err := Write(io.Discard, Report{Title: "t", Runs: []Run{r}}); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzFrontier checks that a frontier can be drawn, or is refused.
func FuzzFrontier(f *testing.F) {
	f.Add([]byte(`{"reward":"r","reference_reward":0,"points":[{"method":"dpo","label":"b","kl":1,"kl_se":0.1,"reward":2,"reward_se":0.1,"samples":3}],"bound":[{"beta":1,"kl":1,"reward":1,"ess":60}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "frontier.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := ReadFrontier(path)
		if err != nil {
			return
		}
		if err := Write(io.Discard, Report{Title: "t", Frontier: g}); err != nil {
			t.Fatal(err)
		}
	})
}
