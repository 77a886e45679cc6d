package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/hub/fakehub"
	"github.com/dpo-ort/dpo-ort/models"
)

// fromHub runs the program with a hub for the public one, and gives what it wrote and how it ended.
func fromHub(t *testing.T, h *fakehub.Hub, dir string, env []string, args ...string) (said string, err error) {
	t.Helper()
	cmd := hubCommand(t, h, dir, env, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

func hubCommand(t *testing.T, h *fakehub.Hub, dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "dpo-ort", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HF_ENDPOINT="+h.URL, "HF_HOME="+filepath.Join(dir, "hub"), "HF_HUB_CACHE=", "HF_TOKEN=", "HF_TOKEN_PATH=", "HF_HUB_OFFLINE=")
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// filesOf are the files of a folder by their names.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

// TestHub trains on a model and data of a hub, whose connection drops once, and again offline to the same bits.
func TestHub(t *testing.T) {
	h := fakehub.New(t)
	h.Token = "hf_not_to_be_seen"
	files := filesOf(t, golden.Testdata(t, "models", "tiny-llama"))
	files["pytorch_model.bin"] = "a pickle"
	pairs, err := os.ReadFile(golden.Testdata(t, "pref", "tiny.pairs.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	model := h.Add("models/own/tiny", "main", files)
	commit := h.Add("datasets/own/pairs", "main", map[string]string{"data/train.jsonl": string(pairs), "data/test.jsonl": string(pairs)})
	dropped := false
	h.Serve = func(w http.ResponseWriter, r *http.Request) bool {
		if dropped || "http://"+r.Host != h.CDN {
			return false
		}
		dropped = true
		_, _ = w.Write([]byte(files["model.safetensors"][:1000]))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	dir := t.TempDir()
	token := []string{"HF_TOKEN=" + h.Token}
	train := func(out string, env []string, more ...string) string {
		t.Helper()
		said, err := fromHub(t, h, dir, env, append([]string{"train", "--model", "hf://own/tiny", "--data", "hf://datasets/own/pairs/data/train*", "--out", out, "--steps", "2", "--batch", "8"}, more...)...)
		if err != nil || strings.Contains(said, h.Token) {
			t.Fatalf("%v: %s", err, said)
		}
		return said
	}
	if said := train("online", token); !strings.Contains(said, "fetched   hf://datasets/own/pairs/data/train* at commit "+commit) || !dropped || strings.Count(said, "fetch MiB 1/1") != 2 {
		t.Errorf("dropped %v; a line a MiB of each: %s", dropped, said)
	}
	h.Seen()
	train("offline", nil, "--offline")
	train("offline", []string{"HF_HUB_OFFLINE=1"}, "--resume", "--quiet")
	if seen := h.Seen(); seen != nil {
		t.Errorf("asked offline: %+v", seen)
	}

	// The run names what it was made of, so that neither a resume nor the same settings elsewhere take what the branch has become.
	settings, err := os.ReadFile(filepath.Join(dir, "online", "run", "config.yaml"))
	if want := "model: hf://own/tiny@" + model + "\ndata:\n- hf://datasets/own/pairs@" + commit + "/data/train.jsonl\n"; err != nil || !strings.HasPrefix(string(settings), want) {
		t.Errorf("%v: the settings are\n%s\nwant\n%s", err, settings, want)
	}
	h.Add("models/own/tiny", "main", map[string]string{"config.json": "{}", "model.safetensors": "another"})
	for _, args := range [][]string{{"--resume", "--out", "online"}, {"--config", "online/run/config.yaml", "--out", "again"}, {"--config", "online/run/config.yaml", "--out", "once more", "--offline"}} {
		if said, err := fromHub(t, h, dir, nil, append([]string{"train", "--quiet"}, args...)...); err != nil {
			t.Errorf("%v: %v: %s", args, err, said)
		}
	}
	if seen := h.Seen(); seen != nil {
		t.Errorf("asked for a commit that is there: %+v", seen)
	}
	a, err := os.ReadFile(filepath.Join(dir, "online", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{"offline", "again", "once more"} {
		if b, err := os.ReadFile(filepath.Join(dir, out, "model.safetensors")); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: the models differ: %v", out, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "hub", "hub", "*", "snapshots", "*", "*.bin")); err != nil || left != nil {
		t.Errorf("a pickle was fetched: %v %v", left, err)
	}
	said, err := fromHub(t, h, dir, nil, "data", "inspect", "--data", "hf://datasets/own/pairs")
	if err == nil || !strings.Contains(said, "error: hf://datasets/own/pairs: the hub answers 401 for its list of files: it is not there, or is private or gated") {
		t.Errorf("without a token: %v: %s", err, said)
	}
	said, err = fromHub(t, h, dir, token, "data", "inspect", "--data", "hf://datasets/own/pairs")
	if err == nil || !strings.Contains(said, "holds several splits (test, train): name one") {
		t.Errorf("all splits: %v: %s", err, said)
	}
}

// Without a name on the hub nothing asks it, whatever the environment says.
func TestHubIsNotAsked(t *testing.T) {
	h := fakehub.New(t)
	dir := t.TempDir()
	for _, args := range [][]string{
		{"data", "inspect", "--data", golden.Testdata(t, "pref", "tiny.pairs.jsonl"), "--model", golden.Testdata(t, "models", "tiny-llama")},
		{"doctor", "--model", golden.Testdata(t, "models", "tiny-llama")}, {"--version"},
	} {
		if said, err := fromHub(t, h, dir, []string{"HF_TOKEN=hf_secret"}, args...); err != nil {
			t.Errorf("%v: %v: %s", args, err, said)
		}
	}
	if seen := h.Seen(); seen != nil {
		t.Errorf("asked: %+v", seen)
	}
}

// A fetch that is killed, or stopped by Ctrl-C, goes on where it was.
func TestHubGoesOn(t *testing.T) {
	h := fakehub.New(t)
	weights, err := os.ReadFile(golden.Testdata(t, "models", "tiny-llama", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	h.Add("models/own/tiny", "main", map[string]string{"config.json": "{}", "model.safetensors": string(weights)})
	const come = 5000
	for how, code := range map[os.Signal]int{os.Kill: -1, os.Interrupt: exitInterrupted} {
		var begun bool
		h.Serve = func(w http.ResponseWriter, r *http.Request) bool {
			if begun || "http://"+r.Host != h.CDN {
				return false
			}
			begun = true
			w.Header().Set("Content-Length", strconv.Itoa(len(weights)))
			_, _ = w.Write(weights[:come])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}
		dir := t.TempDir()
		cmd := hubCommand(t, h, dir, nil, "doctor", "--model", "hf://own/tiny")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		part := filepath.Join(dir, "hub", "hub", "models--own--tiny", "blobs", fakehub.SHA256(weights)+".incomplete")
		for {
			if info, err := os.Stat(part); err == nil && info.Size() == come {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := cmd.Process.Signal(how); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the exit code tells
		if got := cmd.ProcessState.ExitCode(); got != code || code == exitInterrupted && !strings.Contains(out.String(), "the same command goes on from what has come") {
			t.Errorf("%v: exit code %d: %s", how, got, out.String())
		}
		h.Seen()
		_, _ = fromHub(t, h, dir, nil, "doctor", "--model", "hf://own/tiny") // whose config.json is none
		ranges := []string{}
		for _, r := range h.Seen() {
			if r.Host == h.CDN {
				ranges = append(ranges, r.Range)
			}
		}
		if want := []string{"bytes=" + strconv.Itoa(come) + "-"}; !slices.Equal(ranges, want) {
			t.Errorf("%v: asked for %q, want %q", how, ranges, want)
		}
	}
}

// A hub that cannot be reached is asked twice, of which a line tells, and what was fetched before is offered.
func TestHubCannotBeReached(t *testing.T) {
	h := fakehub.New(t)
	h.Add("datasets/own/pairs", "main", map[string]string{"x.jsonl": `{"prompt": "a", "chosen": "b", "rejected": "c"}` + "\n"})
	dir := t.TempDir()
	inspect := []string{"data", "inspect", "--data", "hf://datasets/own/pairs"}
	if said, err := fromHub(t, h, dir, nil, inspect...); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	said, err := fromHub(t, h, dir, []string{"HF_ENDPOINT=http://127.0.0.1:1"}, inspect...)
	told := "fetch     hf://datasets/own/pairs: connection to 127.0.0.1:1: "
	if err == nil || strings.Count(said, told) != 1 || !strings.Contains(said, "; trying again in ") || !strings.Contains(said, "take that with --offline") {
		t.Errorf("%v: %s", err, said)
	}
	if said, err := fromHub(t, h, dir, []string{"HF_ENDPOINT=http://127.0.0.1:1"}, append(inspect, "--offline")...); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

// An adapter's base that is called OWNER/NAME comes with the adapter where that is named hf://. Of an adapter in a folder it is taken from the cache, and nobody is asked.
func TestHubHasAnAdaptersBase(t *testing.T) {
	h := fakehub.New(t)
	base := golden.Testdata(t, "models", "tiny-llama")
	h.Add("models/own/base", "v1", filesOf(t, base))
	dir := t.TempDir()
	adapter := filepath.Join(dir, "adapter")
	if err := models.WriteAdapter(adapter, base, models.AdapterSpec{Rank: 2, Alpha: 4, Targets: []string{models.AllLinear}}, 1); err != nil {
		t.Fatal(err)
	}
	files := filesOf(t, adapter)
	files["adapter_config.json"] = strings.Replace(files["adapter_config.json"], strconv.Quote(base), `"own/base", "revision": "v1"`, 1)
	if err := os.WriteFile(filepath.Join(adapter, "adapter_config.json"), []byte(files["adapter_config.json"]), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Add("models/own/adapter", "main", files)

	said, err := fromHub(t, h, dir, nil, "doctor", "--model", "adapter")
	if seen := h.Seen(); err == nil || seen != nil || !strings.Contains(said, "fetch it from the hub once (dpo-ort doctor --model hf://own/base@v1), or set base_model_name_or_path") {
		t.Errorf("a folder, and an empty cache: asked %v: %v: %s", seen, err, said)
	}
	if said, err := fromHub(t, h, dir, nil, "doctor", "--model", "hf://own/adapter"); err != nil || !strings.Contains(said, "fetched   hf://own/base@v1 at commit") {
		t.Errorf("of the hub: %v: %s", err, said)
	}
	h.Seen()
	for _, args := range [][]string{
		{"doctor", "--model", "adapter"}, {"doctor", "--model", "hf://own/adapter", "--offline"}, {"merge", "--model", "adapter", "--out", "merged"},
		{"train", "--model", "adapter", "--data", golden.Testdata(t, "pref", "tiny.pairs.jsonl"), "--out", "out", "--steps", "1", "--batch", "2"},
	} {
		if said, err := fromHub(t, h, dir, nil, args...); err != nil {
			t.Errorf("%v, from the cache: %v: %s", args, err, said)
		}
	}
	if seen := h.Seen(); seen != nil {
		t.Errorf("asked: %+v", seen)
	}
}
