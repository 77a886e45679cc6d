package dpo

import (
	"strings"
)

func init() {
	registerJudge("length", judgeKind{
		form: "length[:DIR]",
		says: "how many words an answer has (what spaces separate), or tokens of the tokenizer in DIR, added ones not counted",
		open: openLength,
	})
}

func openLength(dir string, o JudgeOptions) (Judge, error) {
	if dir == "" {
		return &eachJudge{score: func(a Answer) (float64, error) { return float64(len(strings.Fields(textOf(a.Completion)))), nil }}, nil
	}
	tok, err := o.tokenizer(dir)
	if err != nil {
		return nil, err
	}
	j := &eachJudge{close: func() error { return closeTokenizer(tok) }, score: func(a Answer) (n float64, err error) {
		_, ends, err := tok.Encode(textOf(a.Completion))
		for _, end := range ends {
			if end >= 0 {
				n++
			}
		}
		return n, err
	}}
	if d, ok := tok.(digester); ok {
		j.digest, _ = d.Digests()
	}
	return j, nil
}
