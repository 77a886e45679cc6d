package hub

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Ref{
		"hf://a/b":                                    {false, "a/b", "main", ""},
		"hf://a/b@v1.0":                               {false, "a/b", "v1.0", ""},
		"hf://a/b@feature%2Fx":                        {false, "a/b", "feature/x", ""},
		"hf://a/b@refs%2Fpr%2F3":                      {false, "a/b", "refs/pr/3", ""},
		"hf://Qwen/Qwen3-0.6B@refs/pr/3":              {false, "Qwen/Qwen3-0.6B", "refs/pr/3", ""},
		"hf://datasets/a/b":                           {true, "a/b", "main", ""},
		"hf://datasets/a/b/":                          {true, "a/b", "main", ""},
		"hf://datasets/a/b/data/*.parquet":            {true, "a/b", "main", "data/*.parquet"},
		"hf://datasets/a/b@dev/data/train-?.jsonl":    {true, "a/b", "dev", "data/train-?.jsonl"},
		"hf://datasets/a/b@refs/convert/parquet/x/**": {true, "a/b", "refs/convert/parquet", "x/**"},
		"hf://datasets/a/b/with @sign.json":           {true, "a/b", "main", "with @sign.json"},
		"hf://a/b@" + strings.Repeat("0123456789", 4): {false, "a/b", strings.Repeat("0123456789", 4), ""},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s is written %s, which is %+v, %v", text, got, again, err)
		}
	}
	for text, want := range map[string]string{
		"a/b": "it does not begin with hf://", "hf://": "it has no OWNER/NAME", "hf://gpt2": "it has no OWNER/NAME", "hf://a/": "OWNER and NAME are letters",
		"hf://../b": "OWNER and NAME are letters", "hf://a/b..c": "OWNER and NAME are letters", "hf://a--b/c": "OWNER and NAME are letters", "hf://-a/b": "OWNER and NAME are letters",
		"hf://a/b?x=1": "OWNER and NAME are letters", "hf://spaces/a": "there is no spaces/", "hf://models/a/b": "there is no models/",
		"hf://a/b@": `"" is no revision`, "hf://a/b@..": `".." is no revision`, "hf://a/b@x%2F..%2Fy": "is no revision", "hf://a/b@%zz": "is no revision", "hf://a/b@-x": "is no revision",
		"hf://a/b/config.json": "a model is taken whole", "hf://datasets/a/b/../c": "its path leaves", "hf://datasets/a/b/x//y": "its path leaves", `hf://datasets/a/b/x\y`: "its path leaves",
		"hf://datasets/a/b/[x": "a bracket without an end", "hf://datasets/a/b/x\x00": "its path leaves", "hf://datasets/b": "it has no OWNER/NAME",
	} {
		if r, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want %s", text, r, err, want)
		}
	}
}

// FuzzParse checks that what is taken for a reference stays below its folder of the cache, and is written as it is read.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"hf://a/b", "hf://datasets/a/b@refs/convert/parquet/x/*.parquet", "hf://a/b@feature%2Fx", "hf://a/b@../..", "hf://datasets/a/b/../../x", "hf://a/b@%2e%2e%2fx"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		for part := range strings.SplitSeq(r.Repo+"/"+r.Revision+"/"+strings.ReplaceAll(r.Path, "//", "/../"), "/") {
			if part == ".." || part == "." {
				t.Errorf("%q leaves its folder: %+v", text, r)
			}
		}
		if again, err := Parse(r.String()); err != nil || again != r {
			t.Errorf("%q is %+v, written %q, which is %+v (%v)", text, r, r.String(), again, err)
		}
		_, _ = chooseData(map[string]file{"data/train.parquet": {}, "x.json": {}}, r.Path)
	})
}
