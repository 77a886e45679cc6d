package dpo

import (
	"encoding/hex"
	"strings"

	"github.com/dpo-ort/dpo-ort/dpo/vader"
)

func init() {
	registerJudge("lexicon", judgeKind{
		form: "lexicon:FILE[,EMOJI]",
		says: "sentiment from -1 to 1 by VADER's rules; FILE has lines of a word, a tab and its valence, as VADER's lexicon",
		open: openLexicon,
	})
}

func openLexicon(arg string, _ JudgeOptions) (Judge, error) {
	words, emoji, _ := strings.Cut(arg, ",")
	l, err := vader.Open(words, emoji)
	if err != nil {
		return nil, err
	}
	digest, err := filesDigest(words, emoji)
	if err != nil {
		return nil, err
	}
	return &eachJudge{digest: digest, score: func(a Answer) (float64, error) { return l.Compound(textOf(a.Completion)), nil }}, nil
}

// filesDigest is of the contents of files, those named "" left out.
func filesDigest(paths ...string) (string, error) {
	var all []byte
	for _, path := range paths {
		if path == "" {
			continue
		}
		sum, err := fileSum(path)
		if err != nil {
			return "", err
		}
		all = append(all, sum...)
	}
	return hex.EncodeToString(all), nil
}
