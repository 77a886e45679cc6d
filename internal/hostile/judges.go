package hostile

import "strings"

func init() {
	register("patterns", func() []Case {
		l := list{file: "patterns.tsv"}
		for _, f := range [][2]string{
			{"empty", ""}, {"only blank lines", "\n \n"}, {"no tab", "good\n"}, {"no weight", "good\t\n"}, {"a weight of words", "good\tmuch\n"}, {"a weight of NaN", "good\tNaN\n"},
			{"a weight of infinity", "good\tinf\n"}, {"a weight too large", "good\t1e999\n"}, {"a pattern that is broken", "good\t1\n(\t1\n"}, {"a pattern of look-behind", "(?<=a)b\t1\n"},
			{"a pattern that repeats without end", "(a{1000}){1000}\t1\n"}, {"a pattern that nests deep", strings.Repeat("(", 2000) + strings.Repeat(")", 2000) + "\t1\n"},
			{"no UTF-8", "good\t1\ncaf\xe9\t1\n"},
		} {
			l.text(f[0], f[1])
		}
		l.file = "patterns.yaml"
		for _, f := range [][2]string{
			{"YAML: a mapping", "good: 1\n"}, {"YAML: an unknown key", "- pattern: a\n  wait: 1\n"}, {"YAML: a weight of words", "- pattern: a\n  weight: much\n"},
			{"YAML: a weight of NaN", "- pattern: a\n  weight: .nan\n"}, {"YAML: a pattern that is a list", "- pattern: [a]\n  weight: 1\n"}, {"YAML: no pattern", "- weight: 1\n"}, {"YAML: cut", "- pattern: \"a\n"},
		} {
			l.text(f[0], f[1])
		}
		return l.cases
	})
	register("lexicon", func() []Case {
		l := list{file: "words.tsv"}
		for _, f := range [][2]string{
			{"empty", ""}, {"no tab", "good 1.9\n"}, {"no valence", "good\t\n"}, {"a valence of words", "good\tvery\n"}, {"a valence of NaN", "good\tnan\n"}, {"a valence of infinity", "good\t-Inf\n"},
			{"a valence too large", "good\t1e999\n"}, {"a word of nothing", "ok\t1\n\t1.9\n"}, {"no UTF-8", "caf\xe9\t1.9\n"}, {"a NUL", "go\x00od\t1\n"},
		} {
			l.text(f[0], f[1])
		}
		return l.cases
	})
	register("frontier-json", func() []Case {
		l := list{file: "frontier.json"}
		point := func(other string) string {
			p := fields{"method": "dpo", "label": "b", "kl": 1, "kl_se": 0.1, "reward": 2, "reward_se": 0.1, "samples": 3}
			if name, text, found := strings.Cut(strings.TrimPrefix(other, ","), ":"); found {
				p[strings.Trim(name, `"`)] = raw(text)
			}
			return string(object(fields{"reward": "r", "reference_reward": 0, "points": raw("[" + string(object(p, nil)) + "]")}, nil))
		}
		for _, f := range [][2]string{
			{"empty", ``}, {"a list", `[]`}, {"null", `null`}, {"cut", `{"reward":"r","points":[`}, {"an unknown field", `{"reword":"r"}`}, {"more after the end", point("") + `{}`},
			{"points are an object", `{"points":{}}`}, {"a method that is unknown", point(`,"method":"ppo"`)}, {"kl is text", point(`,"kl":"1"`)}, {"kl is too large", point(`,"kl":1e999`)},
			{"kl cannot be drawn", point(`,"kl":1e300`)}, {"an error is negative", point(`,"kl_se":-1`)}, {"n of 2 to the 63", point(`,"n":9223372036854775808`)},
			{"a bound that cannot be drawn", `{"points":[],"bound":[{"beta":1,"kl":1e200,"reward":1,"ess":100}]}`}, {"no UTF-8", "{\"reward\":\"\xff\"}"}, {"reward twice", `{"reward":"a","reward":"b","points":[]}`},
		} {
			l.text(f[0], f[1])
		}
		return l.cases
	})
	register("metrics", func() []Case {
		l := list{file: "run/metrics.jsonl"}
		for _, f := range [][2]string{
			{"cut", `{"step":1,"loss":0.5}` + "\n" + `{"step":2,"lo`}, {"a list", `[1]`}, {"null", `null`}, {"no step", `{"loss":1}`}, {"step is text", `{"step":"1"}`}, {"step is negative", `{"step":-1}`},
			{"step is a fraction", `{"step":1.5}`}, {"step of 2 to the 60", `{"step":1152921504606846976}`}, {"steps go back", `{"step":2}` + "\n" + `{"step":1}`}, {"a number too large", `{"step":1,"loss":1e999}`},
			{"NaN", `{"step":1,"loss":NaN}`}, {"a name twice", `{"step":1,"loss":1,"loss":2}`}, {"no UTF-8", "{\"step\":1,\"\xff\":2}"},
		} {
			l.text(f[0], f[1])
		}
		beside := func(name, file, text string) {
			l.with(name, []byte(`{"step":1,"loss":0.5}`), map[string][]byte{file: []byte(text)})
		}
		beside("settings: a list", "run/config.yaml", "- a\n")
		beside("settings: aliases", "run/config.yaml", "a: &a 1\nb: *a\n")
		beside("settings: no YAML", "run/config.yaml", "a: [\n")
		beside("dropped: cut", "run/dropped.jsonl", `{"file":`)
		beside("dropped: row is text", "run/dropped.jsonl", `{"file":"a","row":"1","reason":"r"}`)
		beside("evaluation: a list", "run/eval.json", `[1]`)
		beside("evaluation: cut", "run/eval.json", `{"a":`)
		beside("evaluation: more after the end", "run/eval.json", `{"a":1} {"b":2}`)
		return l.cases
	})
}
