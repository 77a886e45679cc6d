package report

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"
	"unicode/utf8"
)

//go:embed page.html page.css
var pageFiles embed.FS

// page is what the template shows.
type page struct {
	Title    string
	Lead     string
	Style    template.CSS
	Sections []section
}

// section is a part of the page with a heading.
type section struct {
	ID, Title, Text string
	Wide            bool // plots are large
	Plots           []drawn
	Tables          []table
	Samples         []Samples
}

// drawn is a figure as the page shows it.
type drawn struct {
	ID, Title, Note string
	SVG             template.HTML
	Tables          []table
}

// Texts of samples are cut beyond longestText characters, and shownSamples prompts are shown at most.
const (
	longestText  = 1500
	shownSamples = 24
)

// Write writes the page.
func Write(w io.Writer, r Report) error {
	p := page{Title: r.title(), Lead: r.lead()}
	css, err := pageFiles.ReadFile("page.css")
	if err != nil {
		return err
	}
	p.Style = themes() + template.CSS(css)
	if p.Sections, err = r.sections(); err != nil {
		return err
	}
	t, err := template.ParseFS(pageFiles, "page.html")
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

// lead says in a line what the page holds.
func (r Report) lead() string {
	count := func(n int, what string) string {
		if n == 1 {
			return "1 " + what
		}
		return fmt.Sprintf("%d %ss", n, what)
	}
	var parts []string
	if len(r.Runs) > 0 {
		parts = append(parts, count(len(r.Runs), "run"))
	}
	if r.Frontier != nil {
		parts = append(parts, "a frontier of "+count(len(r.Frontier.Points), "point"))
	}
	return strings.Join(parts, " and ")
}

// figures are all plots: of the frontier, of what was learnt, and of how it was computed.
func (r Report) figures() (frontier, learnt, machine []figure, err error) {
	if r.Frontier != nil {
		if err := r.Frontier.Check(); err != nil {
			return nil, nil, nil, err
		}
		frontier = r.Frontier.figures()
	}
	learnt, machine = curves(r.Runs)
	return frontier, learnt, machine, nil
}

func (r Report) sections() (all []section, err error) {
	frontier, learnt, machine, err := r.figures()
	if err != nil {
		return nil, err
	}
	called := names(r.Runs)
	var given [][]Setting
	var evaluations []Evaluation
	for _, run := range r.Runs {
		given = append(given, run.Settings)
		evaluations = append(evaluations, run.Evaluations...)
	}
	add := func(s section, figures ...figure) {
		for _, f := range figures {
			d, wrong := f.shown()
			err = errors.Join(err, wrong)
			s.Plots = append(s.Plots, d)
		}
		if len(s.Plots)+len(s.Tables)+len(s.Samples) > 0 {
			all = append(all, s)
		}
	}
	overview := section{ID: "runs", Title: "Runs"}
	if len(r.Runs) > 0 {
		overview.Tables = []table{summary(r.Runs)}
	}
	add(overview)
	add(section{ID: "frontier", Title: "Frontier", Wide: true, Text: frontierText}, frontier...)
	add(section{ID: "curves", Title: "Training", Text: curvesText}, learnt...)
	add(section{ID: "evaluations", Title: "Evaluations", Tables: evaluated(append(evaluations, r.Evaluations...))})
	add(section{ID: "samples", Title: "Samples", Samples: r.samples()})
	add(section{ID: "settings", Title: "Settings", Tables: settingsTables(called, given)})
	add(section{ID: "dropped", Title: "Rows left out", Tables: dropped(r.Runs)})
	add(section{ID: "machine", Title: "Computing"}, machine...)
	return all, err
}

const (
	frontierText = "Each point is a policy, measured on its own samples; bars are one standard error to each side. Thin lines join checkpoints of one run by step, and best of N by N. " +
		"The bound is the best reward that any policy can have at that KL."
	curvesText = "Points are held-out data. Where a run is long, its steps are pale and their mean over a fortieth of the run is drawn over them; " +
		"of each of at most 240 stretches the least and the greatest value are drawn. Missing numbers leave gaps."
)

// shown draws the figure for the page.
func (f figure) shown() (drawn, error) {
	svg, err := f.onPage()
	tables := f.tables
	if tables == nil {
		tables = []table{f.table()}
	}
	return drawn{f.id, f.title, f.note, svg, tables}, err
}

// evaluated sets evaluations side by side.
func evaluated(all []Evaluation) []table {
	if len(all) == 0 {
		return nil
	}
	var files []Run
	var lists [][]Setting
	for _, e := range all {
		files = append(files, Run{Name: e.Name})
		lists = append(lists, e.Values)
	}
	return []table{sideBySide("What was evaluated", "measure", names(files), lists)}
}

func settingsTables(called []string, given [][]Setting) []table {
	caption := "Settings of the run"
	if len(called) > 1 {
		caption = "Settings of the runs; those that differ are marked"
	}
	if t := sideBySide(caption, "setting", called, given); len(t.Rows) > 0 {
		return []table{t}
	}
	return nil
}

// samples are the texts, cut to what the page shows.
func (r Report) samples() (shown []Samples) {
	all := r.Samples
	if r.Frontier != nil && len(r.Frontier.Samples) > 0 {
		all = append([]Samples{r.Frontier.samples()}, all...)
	}
	for _, s := range all {
		cut := Samples{Title: plain(s.Title), Columns: s.Columns}
		for _, x := range s.Rows[:min(len(s.Rows), shownSamples)] {
			y := Sample{Prompt: cutText(x.Prompt)}
			for _, t := range x.Texts {
				t.Text = cutText(t.Text)
				y.Texts = append(y.Texts, t)
			}
			cut.Rows = append(cut.Rows, y)
		}
		if left := len(s.Rows) - len(cut.Rows); left > 0 {
			cut.Title += fmt.Sprintf(" (the first %d of %d prompts)", len(cut.Rows), len(s.Rows))
		}
		shown = append(shown, cut)
	}
	return shown
}

func cutText(text string) string {
	text = plain(text)
	if utf8.RuneCountInString(text) > longestText {
		return string([]rune(text)[:longestText]) + "… (cut)"
	}
	return text
}

// Meta is what is known of a text, in words.
func (t Text) Meta() string {
	var parts []string
	if t.Reward != nil {
		parts = append(parts, "reward "+number(*t.Reward))
	}
	if t.Finish != "" {
		parts = append(parts, "ended by "+line(t.Finish, 20))
	}
	return strings.Join(parts, ", ")
}

// Column is the name of column i.
func (s Samples) Column(i int) string {
	if i < len(s.Columns) {
		return line(s.Columns[i], 60)
	}
	return ""
}
