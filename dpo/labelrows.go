package dpo

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// create begins the file; made, where it is given, goes into its metadata with how pairs were chosen.
func (j *labelling) create(made *labelJob) (*datasets.TableWriter, error) {
	o := datasets.TableOptions{Overwrite: j.Overwrite, Names: errorsBefore(j.tables[0])}
	if made != nil {
		text, err := json.Marshal(struct {
			labelJob
			As      string   `json:"as"`
			Pairing *Pairing `json:"pairing,omitempty"`
		}{*made, j.As, j.pairing()})
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", j.Out, err)
		}
		o.Metadata = map[string]string{labelKey: string(text)}
	}
	t := j.tables[0]
	if j.As == "ranked" {
		ranks := t.Column("ranks")
		if slices.Contains(t.Columns(), ranks) {
			if !j.Overwrite {
				return nil, fmt.Errorf("writing %s: %s has a column %s, which counts before scores: ask for it to be left out (--overwrite)", j.Out, t.File, ranks)
			}
			o.Names[ranks] = ""
		}
		return datasets.CreateTable(j.Out, t, []datasets.Column{{Name: "scores", Type: datasets.Float64sColumn}, {Name: "error", Type: datasets.StringColumn}}, o)
	}
	asking := t.Asking()
	for _, name := range t.Columns() {
		if !slices.Contains(asking, name) {
			o.Names[name] = ""
		}
	}
	o.Names[t.Column("prompt")] = "prompt"
	return datasets.CreateTable(j.Out, t, j.pairColumns(), o)
}

// pairing is how pairs are chosen; nil of ranked rows.
func (j *labelling) pairing() *Pairing {
	if j.As == "ranked" {
		return nil
	}
	p := j.resolved()
	return &p
}

func (j *labelling) pairColumns() (out []datasets.Column) {
	add := func(t datasets.ColumnType, names ...string) {
		for _, name := range names {
			out = append(out, datasets.Column{Name: name, Type: t})
		}
	}
	add(datasets.StringColumn, "chosen", "rejected")
	add(datasets.Float64Column, "chosen_score", "rejected_score")
	if len(j.finishColumns()) > 0 {
		add(datasets.StringColumn, "chosen_finish_reason", "rejected_finish_reason")
	}
	if j.Margin {
		add(datasets.Float64Column, "margin")
	}
	return out
}

// write writes what becomes of a row, which has a number in all data.
func (j *labelling) write(w *datasets.TableWriter, number int64, row datasets.Row, l labelled) error {
	problem, answers := l.problem(), l.judged()
	if j.As == "ranked" {
		_, tied, equal := Pairing{}.pairsOf(number, row.Group.Completions, answers, l.Scores)
		j.event.Ties, j.event.Equal = j.event.Ties+tied, j.event.Equal+equal
		if problem != "" {
			return w.Write(row, nil, problem)
		}
		return w.Write(row, l.Scores, nil)
	}
	pairs, tied, equal := j.pairsOf(number, row.Group.Completions, answers, l.Scores)
	j.event.Ties, j.event.Equal = j.event.Ties+tied, j.event.Equal+equal
	texts, err := pairTexts(row.Group.Completions)
	switch {
	case err != nil:
		pairs, problem = nil, err.Error()
	case problem == "" && len(pairs) == 0:
		problem = fmt.Sprintf("no pair: of %d answers, %d pairs have equal scores and %d equal texts", len(answers), tied, equal)
	}
	if problem != "" {
		j.drops = append(j.drops, Drop{row.Group.File, row.Group.Row, problem})
	}
	if len(pairs) == 0 && l.problem() == "" {
		j.event.Dropped++
	}
	return j.writePairs(w, row, texts, l.Scores, pairs)
}

func (j *labelling) writePairs(w *datasets.TableWriter, row datasets.Row, texts []string, scores []float64, pairs []pair) error {
	finish, known := j.finish(row), len(j.finishColumns()) > 0
	for _, p := range pairs {
		values := []any{texts[p.chosen], texts[p.rejected], scores[p.chosen], scores[p.rejected]}
		if known {
			values = append(values, orNull(finish[p.chosen]), orNull(finish[p.rejected]))
		}
		if j.Margin {
			values = append(values, scores[p.chosen]-scores[p.rejected])
		}
		if err := w.Write(row, values...); err != nil {
			return err
		}
		j.event.Pairs++
	}
	return nil
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// pairTexts are the answers as strings, which one turn of the assistant's is.
func pairTexts(answers []datasets.Text) ([]string, error) {
	out := make([]string, len(answers))
	for k, a := range answers {
		switch {
		case a.Messages == nil:
			out[k] = a.String
		case len(a.Messages) == 1 && a.Messages[0].Role == "assistant" && a.Messages[0].Fields == "":
			out[k] = a.Messages[0].Content
		default:
			return nil, errors.New("no pair: an answer of several turns is no text (--as ranked keeps it)")
		}
	}
	return out, nil
}
