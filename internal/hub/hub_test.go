package hub_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dpo-ort/dpo-ort/internal/hub"
	"github.com/dpo-ort/dpo-ort/internal/hub/fakehub"
)

var (
	weights = strings.Repeat("weights ", 100_000)
	model   = map[string]string{"config.json": "{}", "tokenizer.json": "{}", "model.safetensors": weights, "pytorch_model.bin": "pickle", "modeling.py": "code",
		"original/model.safetensors": "other", "consolidated.safetensors": "other", "README.md": "words"}
)

// client asks a fake hub, into a cache of its own where env names none.
func client(t *testing.T, h *fakehub.Hub, env map[string]string) *hub.Client {
	t.Helper()
	vars := map[string]string{"HF_ENDPOINT": h.URL, "HF_HOME": t.TempDir()}
	maps.Copy(vars, env)
	c, err := hub.New(func(name string) string { return vars[name] })
	if err != nil {
		t.Fatal(err)
	}
	c.Stall, c.Backoff, c.Attempts = 300*time.Millisecond, time.Millisecond, 4
	return c
}

// fetch gives the paths of a reference, below the cache.
func fetch(t *testing.T, c *hub.Client, text string) (paths []string, err error) {
	t.Helper()
	r, err := hub.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range c.Fetch(t.Context(), r, true) {
		if err != nil {
			return nil, err
		}
		if e.Paths != nil {
			if e.Done != e.Total {
				t.Errorf("%s: %d of %d bytes at the end", text, e.Done, e.Total)
			}
			paths = e.Paths
		}
	}
	return paths, nil
}

func fetched(t *testing.T, c *hub.Client, text string) []string {
	t.Helper()
	paths, err := fetch(t, c, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return paths
}

func holds(t *testing.T, path, want string) {
	t.Helper()
	if text, err := os.ReadFile(path); err != nil || string(text) != want {
		t.Errorf("%s holds %d bytes (%v), want %d", path, len(text), err, len(want))
	}
}

// below lists the files below a folder, and where links lead.
func below(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(at string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, at)
		if to, linked := os.Readlink(at); linked == nil {
			name += " -> " + to
		}
		names = append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A model comes as safetensors, tokenizer and configuration alone, laid out as Python's cache is.
func TestModel(t *testing.T) {
	h := fakehub.New(t)
	commit := h.Add("models/own/tiny", "main", model)
	c := client(t, h, nil)
	dir := fetched(t, c, "hf://own/tiny")[0]
	if dir != filepath.Join(c.Cache, "models--own--tiny", "snapshots", commit) {
		t.Errorf("it lies in %s", dir)
	}
	holds(t, filepath.Join(dir, "model.safetensors"), weights)
	blob := fakehub.SHA256([]byte(weights))
	git := fakehub.BlobID([]byte("{}"))
	want := []string{"models--own--tiny/blobs/" + blob, "models--own--tiny/blobs/" + git, "models--own--tiny/refs/main", "models--own--tiny/trees/" + commit + ".json"}
	slices.Sort(want)
	for name, digest := range map[string]string{"config.json": git, "model.safetensors": blob, "tokenizer.json": git} {
		want = append(want, fmt.Sprintf("models--own--tiny/snapshots/%s/%s -> ../../blobs/%s", commit, name, digest))
	}
	got := below(t, c.Cache)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the cache has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	holds(t, filepath.Join(c.Cache, "models--own--tiny", "refs", "main"), commit)
	for _, r := range h.Seen() {
		if r.Token != "" {
			t.Errorf("a token was sent, of none: %+v", r)
		}
	}
}

func TestModelWithoutWeights(t *testing.T) {
	h := fakehub.New(t)
	h.Add("models/own/tiny", "main", model)
	c := client(t, h, nil)
	r, _ := hub.Parse("hf://own/tiny")
	for _, err := range c.Fetch(t.Context(), r, false) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range below(t, c.Cache) {
		if strings.Contains(name, "model.safetensors") {
			t.Errorf("%s was fetched", name)
		}
	}
}

// What may not be a model says what it holds.
func TestModelsThatAreNone(t *testing.T) {
	h := fakehub.New(t)
	h.Add("models/own/pickle", "main", map[string]string{"config.json": "{}", "pytorch_model.bin": "x"})
	h.Add("models/own/empty", "main", map[string]string{"config.json": "{}"})
	h.Add("models/own/words", "main", map[string]string{"README.md": "x"})
	for text, want := range map[string]string{
		"hf://own/pickle":    "holds no safetensors, only pytorch_model.bin, which can run code and is never loaded",
		"hf://own/empty":     "holds no model.safetensors, nor a part of one: its files are config.json",
		"hf://own/words":     "holds no config.json, so it is no model: its files are README.md",
		"hf://own/nowhere":   "answers 404 for its list of files: there is no such repository, revision or file: look at " + h.URL + "/own/nowhere",
		"hf://own/empty@dev": "hf://own/empty@dev: the hub answers 404",
	} {
		if _, err := fetch(t, client(t, h, nil), text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// Data is a file, a folder, a glob, or all where that is of one split.
func TestData(t *testing.T) {
	h := fakehub.New(t)
	files := map[string]string{"README.md": "x", "dataset_infos.json": "{}", "data/train-0.parquet": "a", "data/train-1.parquet": "b", "data/test-0.parquet": "c", "deep/er/x.jsonl": "d"}
	h.Add("datasets/own/pairs", "main", files)
	h.Add("datasets/own/one", "v2", map[string]string{"x.jsonl": "1", "y.json": "2", ".hidden.json": "3"})
	h.Add("datasets/own/csv", "main", map[string]string{"x.csv": "1"})
	c := client(t, h, nil)
	for text, want := range map[string]string{
		"hf://datasets/own/pairs/data/train-*.parquet": "train-0.parquet train-1.parquet",
		"hf://datasets/own/pairs/data/test-0.parquet":  "test-0.parquet",
		"hf://datasets/own/pairs/deep":                 "x.jsonl",
		"hf://datasets/own/pairs/**/*.jsonl":           "x.jsonl",
		"hf://datasets/own/pairs/deep/**":              "x.jsonl",
		"hf://datasets/own/pairs/*/*.parquet":          "test-0.parquet train-0.parquet train-1.parquet",
		"hf://datasets/own/one@v2":                     "x.jsonl y.json",
	} {
		var names []string
		for _, p := range fetched(t, c, text) {
			names = append(names, filepath.Base(p))
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"hf://datasets/own/pairs":           "holds several splits (test, train): name one, by a file or a glob such as data/test*",
		"hf://datasets/own/pairs/data":      "holds several splits (test, train)",
		"hf://datasets/own/pairs/x.jsonl":   "no file in it matches x.jsonl: its data is data/test-0.parquet, data/train-0.parquet, data/train-1.parquet, deep/er/x.jsonl",
		"hf://datasets/own/csv":             "holds no Parquet or JSON: its files are x.csv; hf://datasets/OWNER/NAME@refs/convert/parquet",
		"hf://datasets/own/pairs/*.parquet": "no file in it matches *.parquet",
	} {
		if _, err := fetch(t, c, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// A commit that is named by its hash is asked for once; a branch is asked for again, and what it stands for then is taken.
func TestPins(t *testing.T) {
	h := fakehub.New(t)
	commit := h.Add("datasets/own/pairs", "main", map[string]string{"x.jsonl": "one"})
	c := client(t, h, nil)
	holds(t, fetched(t, c, "hf://datasets/own/pairs@"+commit)[0], "one")
	if n := len(h.Seen()); n != 2 {
		t.Errorf("%d requests for a list and a file", n)
	}
	holds(t, fetched(t, c, "hf://datasets/own/pairs@"+commit)[0], "one")
	if seen := h.Seen(); seen != nil {
		t.Errorf("asked again: %+v", seen)
	}
	h.Add("datasets/own/pairs", "main", map[string]string{"x.jsonl": "two"})
	holds(t, fetched(t, c, "hf://datasets/own/pairs")[0], "two")
	holds(t, fetched(t, c, "hf://datasets/own/pairs@"+commit)[0], "one")
}

// Offline nobody is asked: what was fetched is there, and what was not is said.
func TestOffline(t *testing.T) {
	h := fakehub.New(t)
	h.Add("models/own/tiny", "main", model)
	h.Add("datasets/own/pairs", "main", map[string]string{"x.jsonl": "one", "y.jsonl": "two"})
	home := t.TempDir()
	c := client(t, h, map[string]string{"HF_HOME": home})
	dir := fetched(t, c, "hf://own/tiny")[0]
	fetched(t, c, "hf://datasets/own/pairs/x.jsonl")
	h.Seen()
	off := client(t, h, map[string]string{"HF_HOME": home, "HF_HUB_OFFLINE": "1"})
	if got := fetched(t, off, "hf://own/tiny")[0]; got != dir {
		t.Errorf("%s, want %s", got, dir)
	}
	for text, want := range map[string]string{
		"hf://own/other":                  "hf://own/other: it is not in the cache",
		"hf://own/tiny@dev":               "hf://own/tiny@dev: it is not in the cache",
		"hf://datasets/own/pairs/*.jsonl": "y.jsonl of commit",
	} {
		if _, err := fetch(t, off, text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "run once without --offline and HF_HUB_OFFLINE") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	// As an older Python's client leaves it: without a list, and perhaps with a part.
	if err := os.RemoveAll(filepath.Join(c.Cache, "datasets--own--pairs", "trees")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.Cache, "models--own--tiny", "trees")); err != nil {
		t.Fatal(err)
	}
	fetched(t, off, "hf://own/tiny")
	fetched(t, off, "hf://datasets/own/pairs/x.jsonl")
	if _, err := fetch(t, off, "hf://datasets/own/pairs/*.jsonl"); err == nil || !strings.Contains(err.Error(), "has no list of the files of commit") {
		t.Errorf("a glob over a part: %v", err)
	}
	if seen := h.Seen(); seen != nil {
		t.Errorf("asked offline: %+v", seen)
	}
}

// The token goes to the hub, is taken from where it may lie, and is sent to no other host.
func TestToken(t *testing.T) {
	const secret = "hf_abcdefghijklmnop"
	h := fakehub.New(t)
	h.Token = secret
	h.Add("models/own/tiny", "main", model)
	home := t.TempDir()
	for _, file := range []string{filepath.Join(home, "token"), filepath.Join(home, "other")} {
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, env := range map[string]map[string]string{
		"variable": {"HF_TOKEN": secret}, "file": {"HF_TOKEN_PATH": filepath.Join(home, "other")}, "login": {"HF_HOME": home},
	} {
		h.Seen()
		c := client(t, h, env)
		c.Cache = t.TempDir()
		fetched(t, c, "hf://own/tiny")
		sent := map[bool]int{}
		for _, r := range h.Seen() {
			if r.Host == h.CDN && r.Token != "" {
				t.Errorf("%s: sent to another host: %+v", name, r)
			}
			sent[r.Host == h.CDN]++
		}
		if sent[true] != 1 || sent[false] != 3 {
			t.Errorf("%s: requests %v", name, sent)
		}
	}
	for name, env := range map[string]map[string]string{
		"none": {}, "switched off": {"HF_HOME": home, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, "wrong": {"HF_TOKEN": "hf_wrong_but_secret"},
	} {
		_, err := fetch(t, client(t, h, env), "hf://own/tiny")
		if err == nil || !strings.Contains(err.Error(), "answers 401") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"HF_ENDPOINT is no address of a hub":                             {"HF_ENDPOINT": "ftp://x"},
		"HF_ENDPOINT is http://mirror.example, over which a token would": {"HF_ENDPOINT": "http://mirror.example/", "HF_TOKEN": "hf_secret"},
		"HF_TOKEN holds no token":                                        {"HF_TOKEN": "hf_se cret"},
		"the token file holds no token":                                  {"HF_TOKEN_PATH": "hub_test.go"},
		"mend HF_TOKEN_PATH":                                             {"HF_TOKEN_PATH": "nowhere"},
	} {
		env["HF_HOME"] = "nowhere"
		_, err := hub.New(func(name string) string { return env[name] })
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "cret") {
			t.Errorf("%v: %v", env, err)
		}
	}
}

// cutAfter ends the connection of a request after some bytes of its body.
type cutAfter struct {
	http.ResponseWriter
	left int
}

func (c *cutAfter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

// A hub that drops and stalls is asked again, for what is missing alone.
func TestBrokenConnections(t *testing.T) {
	for name, breaks := range map[string]func(w http.ResponseWriter, r *http.Request){
		"drops": func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(&cutAfter{w, 300_000}, r, "", time.Time{}, strings.NewReader(weights))
		},
		"stalls": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(weights)))
			_, _ = w.Write([]byte(weights[:200_000]))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"fails":             func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusBadGateway) },
		"is asked too much": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusTooManyRequests) },
		"hangs up":          func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			h := fakehub.New(t)
			h.Add("models/own/tiny", "main", model)
			var n atomic.Int32
			h.Serve = func(w http.ResponseWriter, r *http.Request) bool {
				if "http://"+r.Host != h.CDN || n.Add(1) > 2 {
					return false
				}
				w.Header().Set("ETag", `"cdn-`+fakehub.SHA256([]byte(weights))[:8]+`"`)
				breaks(w, r)
				return true
			}
			dir := fetched(t, client(t, h, nil), "hf://own/tiny")[0]
			holds(t, filepath.Join(dir, "model.safetensors"), weights)
			var ranges []string
			for _, r := range h.Seen() {
				if r.Host == h.CDN {
					ranges = append(ranges, r.Range+" "+r.IfRange)
				}
			}
			if name != "drops" && name != "stalls" {
				return
			}
			if len(ranges) != 3 || ranges[0] != " " || !strings.HasPrefix(ranges[2], "bytes=") || !strings.Contains(ranges[2], ` "cdn-`) {
				t.Errorf("asked for %q", ranges)
			}
		})
	}
}

// What does not get better ends after some tries, with what to do; what has come is kept.
func TestGivesUp(t *testing.T) {
	for status, want := range map[int]string{
		http.StatusInternalServerError: "answers 500 for model.safetensors: it has a fault of its own: try later, or another HF_ENDPOINT (4 tries in a row brought nothing",
		http.StatusTooManyRequests:     "answers 429 for model.safetensors: too many requests: wait, or set HF_TOKEN",
		http.StatusForbidden:           "answers 403 for model.safetensors: this account may not read it: accept its terms at ",
		http.StatusNotFound:            "answers 404 for model.safetensors: there is no such repository",
		http.StatusTeapot:              "answers 418 for model.safetensors, which is not known here: is HF_ENDPOINT",
	} {
		h := fakehub.New(t)
		h.Add("models/own/tiny", "main", model)
		h.Serve = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "model.safetensors") {
				return false
			}
			http.Error(w, "", status)
			return true
		}
		if _, err := fetch(t, client(t, h, nil), "hf://own/tiny"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v, want %s", status, err, want)
		}
	}
	h := fakehub.New(t)
	h.Serve = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "3600")
		http.Error(w, "", http.StatusTooManyRequests)
		return true
	}
	if _, err := fetch(t, client(t, h, nil), "hf://own/tiny"); err == nil || !strings.Contains(err.Error(), "asks to come again in 1h0m0s") || len(h.Seen()) != 1 {
		t.Errorf("a long wait: %v", err)
	}
	h.Serve = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	if _, err := fetch(t, client(t, h, nil), "hf://own/tiny"); err == nil || !strings.Contains(err.Error(), "sent nothing for 300ms (4 tries") {
		t.Errorf("a stall: %v", err)
	}
}

// What an earlier process has left is gone on with; where it is damaged, it is fetched anew.
func TestResume(t *testing.T) {
	for name, left := range map[string]string{"whole": weights[:500_000], "damaged": strings.ToUpper(weights[:500_000]), "too long": weights + "more", "done": weights} {
		h := fakehub.New(t)
		h.Add("models/own/tiny", "main", model)
		c := client(t, h, nil)
		part := filepath.Join(c.Cache, "models--own--tiny", "blobs", fakehub.SHA256([]byte(weights))+".incomplete")
		if err := os.MkdirAll(filepath.Dir(part), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(part, []byte(left), 0o644); err != nil {
			t.Fatal(err)
		}
		holds(t, filepath.Join(fetched(t, c, "hf://own/tiny")[0], "model.safetensors"), weights)
		var ranges []string
		for _, r := range h.Seen() {
			if r.Host == h.CDN {
				ranges = append(ranges, r.Range)
			}
		}
		want := map[string][]string{"whole": {"bytes=500000-"}, "damaged": {"bytes=500000-", ""}, "too long": {""}}[name]
		if !slices.Equal(ranges, want) {
			t.Errorf("%s: asked for %q, want %q", name, ranges, want)
		}
		if _, err := os.Stat(part); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the part is still there: %v", name, err)
		}
	}
}

// A fetch that is ended keeps what has come, and two at once do not fetch a blob twice.
func TestEndedAndAtOnce(t *testing.T) {
	h := fakehub.New(t)
	h.Add("models/own/tiny", "main", model)
	home := t.TempDir()
	var cut atomic.Bool
	h.Serve = func(w http.ResponseWriter, r *http.Request) bool {
		if "http://"+r.Host != h.CDN || cut.Swap(true) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(weights)))
		_, _ = w.Write([]byte(weights[:400_000]))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, _ := hub.Parse("hf://own/tiny")
	var last error
	c := client(t, h, map[string]string{"HF_HOME": home})
	c.Stall = time.Minute
	for e, err := range c.Fetch(ctx, r, true) {
		if last = err; e.File == "model.safetensors" && e.Done > 400_000 {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("ended with %v", last)
	}
	h.Seen()
	type result struct {
		paths []string
		err   error
	}
	results := make(chan result)
	for range 3 {
		c := client(t, h, map[string]string{"HF_HOME": home})
		go func() {
			var got result
			for e, err := range c.Fetch(t.Context(), r, true) {
				got = result{e.Paths, err}
			}
			results <- got
		}()
	}
	for range 3 {
		got := <-results
		if got.err != nil || len(got.paths) != 1 {
			t.Fatalf("%v, %v", got.paths, got.err)
		}
		holds(t, filepath.Join(got.paths[0], "model.safetensors"), weights)
	}
	var ranges []string
	for _, r := range h.Seen() {
		if r.Host == h.CDN {
			ranges = append(ranges, r.Range)
		}
	}
	if !slices.Equal(ranges, []string{"bytes=400000-"}) {
		t.Errorf("asked for %q", ranges)
	}
}
