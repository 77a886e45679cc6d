package dpo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"github.com/dpo-ort/dpo-ort/internal/plainyaml"
)

func init() {
	registerJudge("regex", judgeKind{
		form: "regex:FILE",
		says: "sum of the weights of all matches; FILE has lines of a pattern (RE2), a tab and its weight, or is YAML: a list of pattern and weight",
		open: openRegex,
	})
}

// weighed is a pattern with the reward of each match.
type weighed struct {
	Pattern string  `yaml:"pattern"`
	Weight  float64 `yaml:"weight"`
	match   *regexp.Regexp
}

func openRegex(path string, _ JudgeOptions) (Judge, error) {
	patterns, err := readPatterns(path)
	if err != nil {
		return nil, err
	}
	digest, err := filesDigest(path)
	if err != nil {
		return nil, err
	}
	return &eachJudge{digest: digest, score: func(a Answer) (sum float64, _ error) {
		text := textOf(a.Completion)
		for _, p := range patterns {
			sum += p.Weight * float64(len(p.match.FindAllStringIndex(text, -1)))
		}
		return sum, nil
	}}, nil
}

func readPatterns(path string) (patterns []weighed, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read patterns: %w", err)
	}
	if slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path)) {
		err = plainyaml.Unmarshal(text, &patterns, yaml.Strict())
	} else {
		patterns, err = patternLines(string(text))
	}
	if err == nil && len(patterns) == 0 {
		err = errors.New("it holds no pattern")
	}
	for i := range patterns {
		if err == nil {
			err = patterns[i].compile()
		}
		if err != nil && len(patterns) > 0 {
			err = fmt.Errorf("pattern %d: %w", i+1, err)
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read patterns of %s: %w", path, err)
	}
	return patterns, nil
}

// compile makes the pattern ready to match.
func (p *weighed) compile() (err error) {
	switch {
	case p.Pattern == "":
		return errors.New("it is empty, and would match everywhere")
	case !allFinite([]float64{p.Weight}):
		return fmt.Errorf("its weight is %v: a finite number is needed", p.Weight)
	}
	p.match, err = regexp.Compile(p.Pattern)
	return err
}

// patternLines reads a pattern and its weight, behind the last tab, from each line.
func patternLines(text string) (out []weighed, err error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("it is not valid UTF-8: convert it to UTF-8")
	}
	at := 0
	for line := range strings.Lines(text) {
		at++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		i := strings.LastIndexByte(line, '\t')
		weight, err := strconv.ParseFloat(line[i+1:], 64)
		if i < 0 || err != nil {
			return nil, fmt.Errorf("line %d is %q: a pattern, a tab and a number are needed", at, line)
		}
		out = append(out, weighed{Pattern: line[:i], Weight: weight})
	}
	return out, nil
}
