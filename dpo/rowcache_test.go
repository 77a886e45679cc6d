package dpo

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// renamed is a tokenizer with another digest.
type renamed struct {
	datasets.Tokenizer
	text, template string
}

func (r renamed) Digests() (string, string) { return r.text, r.template }

const tinyVocabulary = 1 << 20

func tinyEncoder(t *testing.T) *datasets.Encoder {
	t.Helper()
	return &datasets.Encoder{Tokenizer: loadTokenizer(t, golden.Testdata(t, "models", "tiny-llama")), MaxLength: 14, MaxPromptLength: 4}
}

// mixed is a file of pairs with rows that are dropped, for two reasons, and rows that are cut.
func mixed(t *testing.T) string {
	t.Helper()
	path := writePairs(t, 60)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = append([]byte(`{"prompt":"the cat","chosen":" sat","rejected":" sat"}`+"\n"), text...)
	text = append(text, `{"prompt":"the cat","chosen":" sat","rejected":"","margin":2}`+"\n"...)
	text = append(text, `{"prompt":"","chosen":"the cat sat","rejected":"a dog","margin":0.25,"ref_chosen_logps":-1.5,"ref_rejected_logps":-2}`+"\n"...)
	text = append(text, `{"prompt":"the cat","chosen":" sat","rejected":" ran","chosen_share":0.75}`+"\n"...)
	text = append(text, `{"prompt":"the cat","completions":[" sat"," ran"," ate"," hid"],"ranks":[null,1,1,null],"ref_logps":[-1,-2,-3,-4]}`+"\n"...)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func readRows(t *testing.T, files []string, enc *datasets.Encoder, cache string) *Rows {
	t.Helper()
	rows, err := ReadRows(files, datasets.Options{}, enc, tinyVocabulary, cache)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// cachedFiles lists what a cache holds.
func cachedFiles(t *testing.T, cache string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(cache, "*.tokens"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// What comes out of the cache is what tokenizing gives, down to nil and empty lists, under the names that the files have now.
func TestCachedRowsAreTheSame(t *testing.T) {
	pairs := mixed(t)
	ranked := golden.Testdata(t, "pref", "tiny.ranked.jsonl")
	for name, files := range map[string][]string{"pairs": {pairs}, "ranked": {ranked}, "both": {pairs, ranked}} {
		t.Run(name, func(t *testing.T) {
			cache, enc := t.TempDir(), tinyEncoder(t)
			plain := readRows(t, files, enc, "")
			if plain.Truncated == 0 || name != "ranked" && len(plain.Dropped) < 2 {
				t.Fatalf("%d rows cut, %d dropped: the test needs some", plain.Truncated, len(plain.Dropped))
			}
			if cold := readRows(t, files, enc, cache); !reflect.DeepEqual(cold, plain) {
				t.Error("rows differ when they are put into the cache")
			}
			expanded, err := datasets.Expand(files)
			if err != nil {
				t.Fatal(err)
			}
			warm := newEntry(cache, expanded, datasets.Options{}, enc, tinyVocabulary).load()
			if !reflect.DeepEqual(warm, plain) {
				t.Fatal("rows out of the cache differ from those that were tokenized")
			}
			if warm.digest() != plain.digest() {
				t.Error("the digests differ")
			}
		})
	}
	cache, enc := t.TempDir(), tinyEncoder(t)
	first := readRows(t, []string{pairs}, enc, cache)
	moved := filepath.Join(t.TempDir(), "moved.jsonl")
	if err := os.Rename(pairs, moved); err != nil {
		t.Fatal(err)
	}
	second := readRows(t, []string{moved}, enc, cache)
	if len(cachedFiles(t, cache)) != 1 || second.Examples[0].File != moved || second.Dropped[0].File != moved || second.digest() != first.digest() {
		t.Errorf("a moved file: %d entries, rows of %s", len(cachedFiles(t, cache)), second.Examples[0].File)
	}
}

// The digest that checkpoints hold is, to the byte, that of the rows as package fmt writes them.
func TestRowsDigest(t *testing.T) {
	rows := readRows(t, []string{mixed(t)}, tinyEncoder(t), "")
	h := sha256.New()
	for _, x := range rows.Examples {
		fmt.Fprintln(h, x.Prompt, x.Margin)
		for _, c := range x.Completions {
			fmt.Fprintln(h, c.IDs, c.Start)
		}
		if x.Places != nil || x.Dissent != 0 {
			fmt.Fprintln(h, x.Dissent, x.Places)
		}
	}
	if want := fmt.Sprintf("%x", h.Sum(nil)); rows.digest() != want {
		t.Errorf("digest %s, want %s", rows.digest(), want)
	}
}

// Each setting, the tokenizer, the template and every byte of the data have a part in the key.
func TestKeyHoldsWhatDecides(t *testing.T) {
	path := writePairs(t, 2)
	enc := tinyEncoder(t)
	key := func(change func(*datasets.Encoder), vocabulary int, file string) string {
		e := *enc
		e.Tokenizer = renamed{enc.Tokenizer, "text", "template"}
		if change != nil {
			change(&e)
		}
		return newEntry("cache", []string{file}, datasets.Options{}, &e, vocabulary).path
	}
	same := key(nil, 100, path)
	if same == "" || key(nil, 100, path) != same {
		t.Fatalf("the key %q is not one", same)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	array := filepath.Join(t.TempDir(), "pairs.json")
	if err := os.WriteFile(array, text, 0o644); err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{same: "unchanged"}
	check := func(what, key string) {
		t.Helper()
		if was, ok := keys[key]; ok {
			t.Errorf("%s has the key of %s", what, was)
		}
		keys[key] = what
	}
	check("vocabulary", key(nil, 101, path))
	mapped := *enc
	mapped.Tokenizer = renamed{enc.Tokenizer, "text", "template"}
	check("columns", newEntry("cache", []string{path}, datasets.Options{Columns: map[string]string{"prompt": "chosen"}}, &mapped, 100).path)
	check("extension", key(nil, 100, array))
	for what, change := range map[string]func(*datasets.Encoder){
		"max length":        func(e *datasets.Encoder) { e.MaxLength++ },
		"max prompt length": func(e *datasets.Encoder) { e.MaxPromptLength++ },
		"truncate":          func(e *datasets.Encoder) { e.KeepStart = true },
		"eos":               func(e *datasets.Encoder) { e.EOS = datasets.EOSKeep },
		"first answers":     func(e *datasets.Encoder) { e.First = true },
		"all turns":         func(e *datasets.Encoder) { e.Turns = datasets.TurnsAll },
		"ties":              func(e *datasets.Encoder) { e.Ties = datasets.TiesDrop },
		"equal answers":     func(e *datasets.Encoder) { e.AllowEqual = true },
		"tokenizer":         func(e *datasets.Encoder) { e.Tokenizer = renamed{enc.Tokenizer, "other", "template"} },
		"template":          func(e *datasets.Encoder) { e.Tokenizer = renamed{enc.Tokenizer, "text", "other"} },
	} {
		check(what, key(change, 100, path))
	}
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 1
		if err := os.WriteFile(path, changed, 0o644); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprint("byte ", i), key(nil, 100, path))
	}
	if k := key(func(e *datasets.Encoder) { e.Tokenizer = renamed{enc.Tokenizer, "", ""} }, 100, path); k != "" {
		t.Errorf("a tokenizer of unknown digest has the entry %s", k)
	}
}

// A file cut anywhere, or with any bit turned, is tokenized again, and replaced. Damage under a right checksum gives an
// error or rows that can be trained on, and never a panic.
func TestDamagedEntriesAreNotTrusted(t *testing.T) {
	cache, enc, files := t.TempDir(), tinyEncoder(t), []string{mixed(t)}
	plain := readRows(t, files, enc, cache)
	e := newEntry(cache, files, datasets.Options{}, enc, tinyVocabulary)
	good, err := os.ReadFile(e.path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if rows, err := e.read(bytes.NewReader(good[:n])); err == nil {
			t.Fatalf("cut to %d of %d bytes it gives %d rows", n, len(good), len(rows.Examples))
		}
		bad := bytes.Clone(good)
		bad[n] ^= 1 << rand.IntN(8)
		if rows, err := e.read(bytes.NewReader(bad)); err == nil {
			t.Fatalf("with byte %d changed it gives %d rows", n, len(rows.Examples))
		}
		for _, body := range [][]byte{bad[:len(bad)-sha256.Size], good[:min(n, len(good)-sha256.Size)]} {
			sum := sha256.Sum256(body)
			rows, err := e.read(bytes.NewReader(append(bytes.Clone(body), sum[:]...)))
			if err != nil {
				continue
			}
			for _, x := range rows.Examples {
				if !sound(x, tinyVocabulary) {
					t.Fatalf("with byte %d changed it gives the row %+v", n, x)
				}
			}
		}
	}
	other := newEntry(cache, files, datasets.Options{}, enc, tinyVocabulary+1)
	if _, err := other.read(bytes.NewReader(good)); err == nil {
		t.Error("the entry of another key is taken")
	}
	if err := os.WriteFile(e.path, good[:len(good)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if rows := readRows(t, files, enc, cache); !reflect.DeepEqual(rows, plain) {
		t.Error("a damaged entry changes the rows")
	}
	if now, err := os.ReadFile(e.path); err != nil || !bytes.Equal(now, good) {
		t.Errorf("the damaged entry is not replaced (%v)", err)
	}
}

// Writing removes entries that have lain unused for 30 days, and no file that is not ours; reading makes one used.
func TestUnusedEntriesAreRemoved(t *testing.T) {
	cache, enc, files := t.TempDir(), tinyEncoder(t), []string{mixed(t)}
	readRows(t, files, enc, cache)
	used := cachedFiles(t, cache)[0]
	name := fmt.Sprintf("%064x.tokens", 1)
	days := map[string]int{filepath.Base(used): 31, name: 31, fmt.Sprintf("%064x.tokens", 2): 29, "." + name + ".1.tmp": 31, "notes.tokens": 99}
	for name, n := range days {
		path := filepath.Join(cache, name)
		if path != used {
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		at := time.Now().AddDate(0, 0, -n)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	readRows(t, files, enc, cache)
	enc.MaxLength++
	readRows(t, files, enc, cache)
	left := maps.Clone(days)
	for name := range days {
		if _, err := os.Stat(filepath.Join(cache, name)); err != nil {
			delete(left, name)
		}
	}
	delete(days, name)
	delete(days, "."+name+".1.tmp")
	if !maps.Equal(left, days) {
		t.Errorf("left are %v, want %v", left, days)
	}
}

// A folder that cannot be made or written is no reason to fail.
func TestCacheNeverFailsARun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if rows := readRows(t, []string{mixed(t)}, tinyEncoder(t), filepath.Join(file, "cache")); len(rows.Examples) == 0 {
		t.Error("no rows")
	}
}

// A row with a token that the model has no embedding for ends the reading, by file and row, whether rows are read at once, stream or come
// out of the cache.
func TestRowsBeyondTheVocabulary(t *testing.T) {
	file := writeLines(t, `{"prompt": "a", "chosen": " a", "rejected": " b"}`, `{"prompt": "a", "chosen": " a", "rejected": " the cat was on a mat"}`)
	enc := tinyEncoder(t)
	rows := readRows(t, []string{file}, enc, "")
	most := slices.Max(rows.Examples[0].Completions[0].IDs)
	most = max(most, slices.Max(rows.Examples[0].Completions[1].IDs), slices.Max(rows.Examples[0].Prompt))
	if next := slices.Max(rows.Examples[1].Completions[1].IDs); next <= most {
		t.Fatalf("the second row has no id above %d", most)
	}
	want := fmt.Sprintf("row 1 of %s: token id", file)
	if _, err := ReadRows([]string{file}, datasets.Options{}, enc, int(most)+1, ""); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("at once: %v, want %s", err, want)
	}
	s := newStream([]string{file}, datasets.Options{}, enc, int(most)+1)
	defer s.stop()
	if _, err, _ := s.next(); err != nil {
		t.Errorf("the first row: %v", err)
	}
	if _, err, _ := s.next(); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("from a stream: %v, want %s", err, want)
	}
	if sound(rows.Examples[1], int(most)+1) || !sound(rows.Examples[0], int(most)+1) {
		t.Error("out of the cache such a row is taken")
	}
}
