package datasets

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// answerLists are our names for a list of answers.
var answerLists = []string{"completions", "responses"}

// checkList tells what is missing for an unranked group among the columns of a file.
func (c columns) checkList(names []string) error {
	there := func(ours string) bool { return c.there(names, ours) }
	if (there("prompt") || slices.ContainsFunc(askedColumns, there)) && slices.ContainsFunc(answerLists, there) {
		return nil
	}
	return fmt.Errorf("no prompt with a list of answers: the columns are %s; needed are prompt and completions (or responses)", strings.Join(names, ", "))
}

// unranked makes a group of a row's list of answers as it stands, whatever its ranks and scores.
func (c columns) unranked(rec record) (Group, error) {
	r, err := row{c, rec}.asking()
	if err != nil {
		return Group{}, err
	}
	for _, column := range answerLists {
		if !r.has(column) {
			continue
		}
		g, err := r.list(column)
		if err == nil {
			g.Cut, err = r.cut(len(g.Completions))
		}
		return r.beside(g, err)
	}
	return Group{}, errors.New("no list of answers")
}
