package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/report"
)

// sampled is a row of generated answers, as far as a report shows it. Texts are strings or lists of messages.
type sampled struct {
	Prompt        json.RawMessage   `json:"prompt"`
	Completion    json.RawMessage   `json:"completion"`
	Completions   []json.RawMessage `json:"completions"`
	FinishReason  string            `json:"finish_reason"`
	FinishReasons []string          `json:"finish_reasons"`
	Scores        []*float64        `json:"scores"`
}

// readSamples sets files side by side: the rows of the first, and of each other the answer to the same prompt. Where a prompt comes
// several times, its first row meets the first, and so on.
func readSamples(files []string) (report.Samples, error) {
	s := report.Samples{Title: "Samples"}
	places := map[string][]int{} // of a prompt among the rows
	for column, file := range files {
		s.Columns = append(s.Columns, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
		met := map[string]int{}
		err := eachSample(file, func(prompt string, text report.Text) {
			if column == 0 {
				places[prompt] = append(places[prompt], len(s.Rows))
				row := report.Sample{Prompt: prompt}
				for range files {
					row.Texts = append(row.Texts, report.Text{Missing: true})
				}
				s.Rows = append(s.Rows, row)
			}
			if at := places[prompt]; met[prompt] < len(at) {
				s.Rows[at[met[prompt]]].Texts[column] = text
				met[prompt]++
			}
		})
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// eachSample gives the prompt and the first answer of each row of a file.
func eachSample(file string, take func(prompt string, text report.Text)) error {
	t, err := datasets.OpenTable(file, datasets.Options{AnyColumns: true})
	if err != nil {
		return err
	}
	defer t.Close()
	n := 0
	for row, err := range t.Rows(0) {
		if err != nil {
			return err
		}
		text, err := t.JSON(row)
		if err != nil {
			return err
		}
		prompt, answer, err := readSample(text)
		if err != nil {
			return fmt.Errorf("reading samples %s: row %d: %w", file, n, err)
		}
		take(prompt, answer)
		n++
	}
	return nil
}

// readSample reads a row as JSON.
func readSample(text []byte) (prompt string, answer report.Text, err error) {
	var row sampled
	if err := json.Unmarshal(text, &row); err != nil {
		return "", answer, err
	}
	said := row.Completion
	if len(row.Completions) > 0 {
		said = row.Completions[0]
	}
	if row.Prompt == nil || said == nil {
		return "", answer, errors.New("it needs a prompt, and completions (a list) or a completion")
	}
	if prompt, err = written(row.Prompt); err != nil {
		return "", answer, fmt.Errorf("prompt: %w", err)
	}
	if answer.Text, err = written(said); err != nil {
		return "", answer, fmt.Errorf("completion: %w", err)
	}
	if answer.Finish = row.FinishReason; len(row.FinishReasons) > 0 {
		answer.Finish = row.FinishReasons[0]
	}
	if len(row.Scores) > 0 {
		answer.Reward = row.Scores[0]
	}
	return prompt, answer, nil
}

// written is a text, or the messages of a conversation one below the other.
func written(raw json.RawMessage) (string, error) {
	var text string
	if string(raw) == "null" {
		return "", errors.New("it is null")
	}
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var turns []struct{ Role, Content string }
	if err := json.Unmarshal(raw, &turns); err != nil {
		return "", errors.New("it is neither a text nor a list of messages with role and content")
	}
	var lines []string
	for _, m := range turns {
		lines = append(lines, m.Role+": "+m.Content)
	}
	return strings.Join(lines, "\n"), nil
}
