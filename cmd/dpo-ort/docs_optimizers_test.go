package main

import (
	"cmp"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
)

// The tables of optimizers and schedules, on whichever pages have them, are those of the registries. -update rewrites them.
func TestDocsListOptimizersAndSchedules(t *testing.T) {
	holdTables(t, "optimizers", optimizerTable(t))
	holdTables(t, "schedules", scheduleTable(t))
}

func optimizerTable(t *testing.T) string {
	var rows [][]string
	for _, name := range optim.Names() {
		k, err := optim.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, []string{"`" + name + "`", k.Source, cmp.Or(strings.Join(settingCells(k.Settings), "; "), "none")})
	}
	return markdownTable([]string{"`--optimizer`", "after", "its settings, with their defaults"}, rows)
}

func scheduleTable(t *testing.T) string {
	var rows [][]string
	for _, name := range optim.Schedules() {
		k, err := optim.LookupSchedule(name)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, []string{"`" + name + "`", k.About, cmp.Or(strings.Join(settingCells(k.Settings), "; "), "none")})
	}
	return markdownTable([]string{"`--schedule`", "after the warm-up the rate", "its settings, with their defaults"}, rows)
}
