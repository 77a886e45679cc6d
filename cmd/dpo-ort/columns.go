package main

import (
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo"
)

// columnNames are the data's names for columns, by ours, as a flag: prompt=question,chosen=good. It may be given several times.
type columnNames struct {
	to    *map[string]string
	begun bool
}

// bindColumns declares --columns, whose names an example shows.
func bindColumns(f *pflag.FlagSet, to *map[string]string, example string) {
	f.Var(&columnNames{to: to}, "columns", "the data's names for columns, by ours: "+example+"; NAME= has a column ignored")
}

// String writes the names as Set reads them, sorted by ours.
func (c *columnNames) String() string {
	if c.to == nil || len(*c.to) == 0 {
		return ""
	}
	var parts []string
	for _, ours := range slices.Sorted(maps.Keys(*c.to)) {
		parts = append(parts, ours+"="+(*c.to)[ours])
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(parts) // a Builder takes all
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// Set adds names to those given before on the command line.
func (c *columnNames) Set(text string) error {
	names := map[string]string{}
	if c.begun {
		names = *c.to
	}
	if text != "" {
		parts, err := csv.NewReader(strings.NewReader(text)).Read()
		if err != nil {
			return err
		}
		for _, part := range parts {
			ours, theirs, ok := strings.Cut(part, "=")
			if !ok {
				return fmt.Errorf("%q is no name of a column: write OURS=THEIRS, several with commas between them", part)
			}
			names[ours] = theirs
		}
	}
	*c.to, c.begun = names, true
	return nil
}

// Type is the word for a value in a flag's help.
func (c *columnNames) Type() string { return "ours=theirs,..." }

// checkColumns refuses names that are none of ours.
func checkColumns(names map[string]string) error {
	if err := (datasets.Options{Columns: names}).Check(); err != nil {
		return dpo.Usage("columns: %v", err)
	}
	return nil
}
