package datasets

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Layout is a way in which data sets write a group: which columns they have, and what these hold. A layout is known by the names of a
// file's columns, and where two have the same, by what a row holds. Each is a row of a table, which its file adds with addLayout.
type Layout struct {
	Name  string // as data inspect tells it
	From  string // who writes data so
	Holds string // how a row is read
	Kind  Kind

	needs   []string // columns without which it is another layout; "a|b" is either
	reads   []string // further columns that mean something in it
	without []string // columns with which it is another layout
	prompt  []string // of these columns, those that make the prompt, where that is not the column prompt
	// fits tells apart layouts that have the same columns; nil where none other has these.
	fits func(r row) bool
	// ours gives our columns in place of the layout's own; nil where they are there already.
	ours  func(r row) (map[string]any, error)
	group func(r row) (Group, error)

	either [][]string // needs, split
}

// Needs names the columns that make a layout, as an error or a page lists them.
func (l *Layout) Needs() string { return strings.ReplaceAll(strings.Join(l.needs, ", "), "|", " or ") }

var layouts []*Layout

// addLayout makes a layout known. Each layout's file calls it once.
func addLayout(l Layout) {
	for _, need := range l.needs {
		l.either = append(l.either, strings.Split(need, "|"))
	}
	layouts = append(layouts, &l)
	foreign := func(l *Layout) int {
		if l.ours == nil {
			return 0
		}
		return 1
	}
	slices.SortFunc(layouts, func(a, b *Layout) int {
		return cmp.Or(foreign(a)-foreign(b), cmp.Compare(a.From, b.From), cmp.Compare(a.Name, b.Name))
	})
}

// Layouts are all that are known: those with our columns, then the others by who writes them.
func Layouts() []*Layout { return slices.Clone(layouts) }

// columns are all that the layout reads, but for ours.
func (l *Layout) columns() []string {
	return append(slices.Concat(l.either...), l.reads...)
}

// there tells whether a file's columns hold one of ours, under its own name.
func (c columns) there(names []string, ours string) bool {
	return c[ours] != "" && slices.Contains(names, c[ours])
}

// fitting are the layouts that a file's columns are enough for.
func (c columns) fitting(names []string) (out []*Layout) {
	has := func(column string) bool { return c.there(names, column) }
	lacking := func(either []string) bool { return !slices.ContainsFunc(either, has) }
	for _, l := range layouts {
		if !slices.ContainsFunc(l.either, lacking) && !slices.ContainsFunc(l.without, has) {
			out = append(out, l)
		}
	}
	return out
}

// layout is the one that a row has.
func (c columns) layout(r row) (*Layout, error) {
	fit := slices.DeleteFunc(c.fitting(r.rec.columns), func(l *Layout) bool { return l.fits != nil && !l.fits(r) })
	switch len(fit) {
	case 1:
		return fit[0], nil
	case 0:
		return nil, c.missing(r.rec.columns)
	}
	return nil, twoLayouts(r.rec.columns, fit)
}

// twoLayouts is the error of columns that fit more than one layout.
func twoLayouts(names []string, fit []*Layout) error {
	var which []string
	for _, l := range fit {
		which = append(which, fmt.Sprintf("%s (%s)", l.Name, l.Needs()))
	}
	return &columnsError{names, "they fit several layouts, " + strings.Join(which, " and "),
		"say which column is to be ignored, as in --columns " + spare(fit) + "="}
}

// spare is a column that one of the layouts needs and another does not.
func spare(fit []*Layout) string {
	for _, need := range fit[1].needs {
		if !slices.Contains(fit[0].needs, need) {
			return strings.Split(need, "|")[0]
		}
	}
	return fit[0].either[len(fit[0].either)-1][0]
}

// missing is the error of columns that fit no layout.
func (c columns) missing(names []string) error {
	has := func(ours string) bool { return c.there(names, ours) }
	what := "no answers"
	if l, surplus := c.nearly(names); l != nil {
		return c.surplus(names, l, surplus)
	}
	switch {
	case has("prompt") && has("completions") && !has("ranks") && !has("scores"):
		what = "no column ranks or scores beside completions"
	case has("prompt") && has("responses") && !has("ranks") && !has("scores"):
		what = "no column ranks or scores beside responses"
	case has("completions"), has("responses"), has("completion"), has("a") && has("b") && has("votes"):
		what = "no column prompt"
	case has("chosen"):
		what = "no column rejected"
	case has("rejected"):
		what = "no column chosen"
	}
	return &columnsError{names, what, "needed are those of a layout:\n" + c.tried(names)}
}

// nearly is a layout that a file has all columns of, and one or more besides with which it is another: of several that with most columns.
func (c columns) nearly(names []string) (near *Layout, surplus []string) {
	has := func(column string) bool { return c.there(names, column) }
	for _, l := range layouts {
		lacking := slices.ContainsFunc(l.either, func(either []string) bool { return !slices.ContainsFunc(either, has) })
		more := slices.DeleteFunc(slices.Clone(l.without), func(column string) bool { return !has(column) })
		if !lacking && len(more) > 0 && (near == nil || len(l.needs) > len(near.needs)) {
			near, surplus = l, more
		}
	}
	return near, surplus
}

// surplus is the error of a file with columns that no layout has beside its own.
func (c columns) surplus(names []string, l *Layout, surplus []string) error {
	var more, ignored []string
	for _, column := range surplus {
		more, ignored = append(more, c[column]), append(ignored, column+"=")
	}
	stands, cure := "column "+more[0]+" stands", "--columns "+ignored[0]+" ignores it"
	if len(more) > 1 {
		stands, cure = "columns "+strings.Join(more, ", ")+" stand", "--columns "+strings.Join(ignored, ",")+" ignores them"
	}
	if i := slices.IndexFunc(surplus, func(column string) bool { return column == "question" || column == "query" }); i >= 0 {
		cure = "--columns prompt=" + more[i] + " takes it for the prompt, " + cure
	}
	return &columnsError{names, fmt.Sprintf("%s beside those of the layout %s (%s)", stands, l.Name, l.Needs()), cure}
}

// tried lists the layouts with their columns, a line each: ours, and those others that a file has a column of.
func (c columns) tried(names []string) string {
	var out []string
	for _, l := range layouts {
		near := slices.ContainsFunc(slices.Concat(l.either...), func(ours string) bool { return c.there(names, ours) })
		if near || l.ours == nil {
			out = append(out, fmt.Sprintf("  %s (%s)\n", l.Name, l.Needs()))
		}
	}
	return fmt.Sprintf("%sor one of %d more, which docs/data.md lists; --columns prompt=NAME takes another column for one of these", strings.Join(out, ""), len(layouts)-len(out))
}

// seen is a row of this layout under our names for columns.
func (l *Layout) seen(r row) (row, error) {
	if l.ours == nil {
		return r, nil
	}
	made, err := l.ours(r)
	return r.with(made), err
}

// with is a row under our names for columns, with some of them made anew.
func (r row) with(made map[string]any) row {
	own, values := columns{}, map[string]any{}
	for _, name := range known {
		own[name] = name
		if r.has(name) {
			values[name] = r.value(name)
		}
	}
	maps.Copy(values, made)
	rec := r.rec
	rec.values = values
	rec.json = func(name string) json.RawMessage {
		if v, ok := made[name]; ok {
			text, _ := json.Marshal(v) // of what JSON or Parquet gave
			return text
		}
		return r.rec.json(r.columns[name])
	}
	return row{own, rec}
}

// Layout tells by the columns which layout a table has, or, where several have these, by its first row; nil where there is none.
func (t *Table) Layout() *Layout {
	fit := t.names.fitting(t.Columns())
	if len(fit) == 1 {
		return fit[0]
	}
	for raw, err := range t.read(0, t.names.wanted(t.Columns())) {
		if err != nil {
			return nil
		}
		raw.rec.columns = t.Columns()
		if l, err := t.names.layout(row{t.names, raw.rec}); err == nil {
			return l
		}
		return nil
	}
	return nil
}
