package main

import (
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/dpo/optim"
)

// README's list of losses, optimizers and schedules is that of the registries, each with the tests that hold it. -update rewrites it.
func TestDocsListRegistries(t *testing.T) {
	judges, rows := lossJudges(t), [][]string{}
	for _, name := range loss.Names() {
		l, err := loss.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, []string{"`--loss " + name + "`", l.Paper, strings.Join(judges[name], ", ")})
	}
	for _, name := range optim.Names() {
		k, err := optim.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, []string{"`--optimizer " + name + "`", k.Source, heldBy(t, "TestOptimizersEqualTheirReferences", "TestTrainFollowsTRL")})
	}
	for _, name := range optim.Schedules() {
		k, err := optim.LookupSchedule(name)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, []string{"`--schedule " + name + "`", k.About, heldBy(t, "TestSchedulesEqualTransformers")})
	}
	holdTables(t, "registries", markdownTable([]string{"name", "after", "held by"}, rows))
}

// heldBy names tests of package dpo, which must have them.
func heldBy(t *testing.T, tests ...string) string {
	t.Helper()
	var names []string
	for _, name := range tests {
		mustHaveTest(t, name)
		names = append(names, "`"+name+"`")
	}
	return strings.Join(names, ", ")
}
