package datasets

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The columns that mean something to us.
var known = []string{
	"prompt", "chosen", "rejected", "completion", "text", "completions", "responses", "ranks", "scores", "margin", "label",
	"chosen_share", "a", "b", "votes",
	"ref_chosen_logps", "ref_rejected_logps", "ref_logps",
	"finish_reason", "finish_reasons", "chosen_finish_reason", "rejected_finish_reason", "messages", "system", "tools",
}

// columnsError is a row without the columns that make a group, or with those of more than one.
type columnsError struct {
	columns      []string
	what, needed string
}

func (e *columnsError) Error() string { return e.short() + "; " + e.needed }

// short is the error of one row among others, whose file has the columns that are needed.
func (e *columnsError) short() string {
	return fmt.Sprintf("%s: the columns are %s", e.what, strings.Join(e.columns, ", "))
}

// columns maps our names for columns, and those of layouts, to the file's; "" where there is to be none.
type columns map[string]string

func newColumns(o Options) (columns, error) {
	c := columns{}
	for _, name := range known {
		c[name] = name
	}
	for _, l := range layouts {
		for _, name := range slices.Concat(l.columns(), l.prompt) {
			c[name] = name
		}
	}
	for ours, theirs := range o.Columns {
		_, ok := c[ours]
		telling := slices.ContainsFunc(layouts, func(l *Layout) bool { return slices.Contains(l.without, ours) })
		if !ok && (!telling || theirs != "") {
			return nil, fmt.Errorf("mapping column %q to %q: no such column; there are %s", theirs, ours, strings.Join(slices.Sorted(maps.Keys(c)), ", "))
		}
		c[ours] = theirs
	}
	for _, l := range layouts {
		for _, name := range l.without { // which says what a file is, and is not read
			if _, ok := c[name]; !ok {
				c[name] = name
			}
		}
	}
	return c, nil
}

// wanted returns those of a file's columns that are to be read: ours, and those of the layouts that it may have.
func (c columns) wanted(names []string) map[string]bool {
	want := map[string]bool{}
	add := func(ours []string) {
		for _, name := range ours {
			if c.there(names, name) {
				want[c[name]] = true
			}
		}
	}
	add(known)
	for _, l := range c.fitting(names) {
		add(l.columns())
	}
	if !c.there(names, "prompt") {
		add(askedColumns)
	}
	return want
}

// row is a record seen under our names for columns.
type row struct {
	columns
	rec record
}

func (r row) has(name string) bool {
	_, ok := r.rec.values[r.columns[name]]
	return ok && r.columns[name] != ""
}

func (r row) value(name string) any { return r.rec.values[r.columns[name]] }

// group makes a group of a record; File and Row are left to the caller.
func (c columns) group(rec record) (Group, error) {
	r := row{c, rec}
	l, err := c.layout(r)
	if err == nil {
		r, err = l.seen(r)
	}
	if err != nil {
		return Group{}, err
	}
	g, err := l.group(r)
	return r.beside(g, err)
}

func (r row) pair() (Group, error) {
	chosen, err1 := r.text("chosen")
	rejected, err2 := r.text("rejected")
	if err := errors.Join(err1, err2); err != nil {
		return Group{}, err
	}
	g := Group{Completions: []Text{chosen, rejected}}
	var err error
	if r.has("prompt") {
		if g.Prompt, err = r.text("prompt"); err != nil {
			return Group{}, err
		}
	}
	if err := g.splitPrompt(r.has("prompt")); err != nil {
		return Group{}, err
	}
	if g.Margin, err = r.number("margin", 0); err != nil {
		return Group{}, err
	}
	g.HasMargin = r.value("margin") != nil
	if g.Dissent, err = r.dissent(); err != nil {
		return Group{}, err
	}
	g.Level = r.level()
	if r.value("ref_chosen_logps") != nil && r.value("ref_rejected_logps") != nil {
		c, err1 := r.number("ref_chosen_logps", 0)
		j, err2 := r.number("ref_rejected_logps", 0)
		if err := errors.Join(err1, err2); err != nil {
			return Group{}, err
		}
		g.Ref = []float64{c, j}
	}
	if g.Cut, err = r.cut(2, "chosen_finish_reason", "rejected_finish_reason"); err != nil {
		return Group{}, err
	}
	return g, nil
}

func (r row) single() (Group, error) {
	completion, err := r.text("completion")
	g := Group{Completions: []Text{completion}}
	if r.value("prompt") != nil {
		var bad error
		g.Prompt, bad = r.text("prompt")
		err = errors.Join(bad, err)
	}
	if err != nil {
		return Group{}, err
	}
	if err := g.matchKinds(); err != nil {
		return Group{}, err
	}
	if r.value("ref_logps") != nil {
		ref, err := r.number("ref_logps", 0)
		if err != nil {
			return Group{}, err
		}
		g.Ref = []float64{ref}
	}
	g.Label = asLabel(r.value("label"))
	g.Cut, err = r.cut(1, "finish_reason")
	return g, err
}

// whole is a text without a prompt.
func (r row) whole() (Group, error) {
	text, err := r.text("text")
	if err != nil {
		return Group{}, err
	}
	g := Group{Completions: []Text{text}}
	g.Cut, err = r.cut(1, "finish_reason")
	return g, err
}

func (r row) ranked(column string) (Group, error) {
	g, err := r.list(column)
	if err != nil {
		return Group{}, err
	}
	return g, r.rank(&g)
}

// list reads a prompt and a list of answers, in the order of the file.
func (r row) list(column string) (Group, error) {
	prompt, err := r.text("prompt")
	if err != nil {
		return Group{}, err
	}
	g := Group{Prompt: prompt}
	list, ok := r.value(column).([]any)
	if !ok || len(list) == 0 {
		return Group{}, fmt.Errorf("column %s holds %s: a list of answers is needed", column, describe(r.value(column)))
	}
	for i, v := range list {
		t, err := asText(v, func() json.RawMessage { return elements(r.rec.json(r.columns[column]))[i] })
		if err != nil {
			return Group{}, fmt.Errorf("column %s, answer %d: %w", column, i, err)
		}
		g.Completions = append(g.Completions, t)
	}
	return g, g.matchKinds()
}

// rank reads what goes with each answer of a ranked row, and sorts the answers, best first.
func (r row) rank(g *Group) error {
	n := len(g.Completions)
	var err1, err2, err3, err4 error
	g.Ranks, err1 = r.numbers("ranks", n, true)
	g.Scores, err2 = r.numbers("scores", n, true)
	g.Ref, err3 = r.numbers("ref_logps", n, false)
	g.Cut, err4 = r.cut(n)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	if g.Ranks == nil && g.Scores == nil {
		return errors.New("columns ranks and scores are null: one of them is needed")
	}
	perm := make([]int, n)
	for i := range perm {
		perm[i] = i
	}
	slices.SortStableFunc(perm, func(a, b int) int { // cmp.Compare has NaN below all numbers
		if g.Ranks != nil {
			return cmp.Compare(-g.Ranks[b], -g.Ranks[a])
		}
		return cmp.Compare(g.Scores[b], g.Scores[a])
	})
	g.permute(perm)
	return nil
}

// cut tells which of n answers were cut, from a column for each answer, or one list for all.
func (r row) cut(n int, each ...string) ([]bool, error) {
	cut := make([]bool, n)
	set := func(column string, i int, v any) error {
		s, ok := v.(string)
		if v != nil && !ok {
			return fmt.Errorf("column %s holds %s: a string is needed", column, describe(v))
		}
		cut[i] = s == "length"
		return nil
	}
	for i, column := range each {
		if err := set(column, i, r.value(column)); err != nil {
			return nil, err
		}
	}
	for _, column := range []string{"finish_reasons", "finish_reason"} {
		list, ok := r.value(column).([]any)
		if !ok && column == "finish_reasons" && r.value(column) != nil {
			return nil, fmt.Errorf("column %s holds %s: a list of strings is needed", column, describe(r.value(column)))
		}
		if !ok {
			continue
		}
		if len(list) != n {
			return nil, fmt.Errorf("column %s has %d entries for %d answers", column, len(list), n)
		}
		for i, v := range list {
			if err := set(column, i, v); err != nil {
				return nil, err
			}
		}
	}
	if !slices.Contains(cut, true) {
		return nil, nil
	}
	return cut, nil
}

// wanting gives the wanted columns of each row, whose names are mostly those of the row before.
func (c columns) wanting() func(names []string) map[string]bool {
	var last []string
	var want map[string]bool
	return func(names []string) map[string]bool {
		if want == nil || !slices.Equal(names, last) {
			last, want = names, c.wanted(names)
		}
		return want
	}
}
