package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
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

// The list of architectures, on whichever pages have it, is that of the registry, each with the tests that hold its tiny models. -update
// rewrites it.
func TestDocsListArchitectures(t *testing.T) {
	tiny := map[string][]string{}
	folders, err := filepath.Glob(filepath.Join(golden.Root(t), "testdata", "models", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range folders {
		class, _, err := models.Describe(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(golden.Root(t), "testdata", "golden", filepath.Base(dir)+".weighted.safetensors")); err == nil {
			tiny[class] = append(tiny[class], "`"+filepath.Base(dir)+"`")
		}
	}
	held := heldBy(t, "TestLogProbsEqualTransformers", "TestGradientsEqualPyTorch", "TestGreedyEqualsTransformers")
	var rows [][]string
	for _, class := range models.LanguageModels() {
		if tiny[class] == nil {
			t.Errorf("no tiny model of %s has golden gradients", class)
		}
		rows = append(rows, []string{"`" + class + "`", models.Family(class), held + " of " + strings.Join(tiny[class], ", ")})
	}
	holdTables(t, "architectures", markdownTable([]string{"class", "models", "held by"}, rows))
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
