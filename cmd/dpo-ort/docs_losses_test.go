package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/settings"
)

// The table of losses, on whichever pages have one, is that of the registry. -update rewrites it.
func TestDocsListLosses(t *testing.T) {
	holdTables(t, "losses", lossTable(t))
}

func lossTable(t *testing.T) string {
	t.Helper()
	judges, rows := lossJudges(t), [][]string{}
	for _, name := range loss.Names() {
		l, err := loss.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		beside := settingCells(settings.Named(l.Settings))
		for _, s := range l.Settings {
			if s.Name == "label_smoothing" {
				beside = append(beside, fmt.Sprintf("`--%s`, %s", s.Flag, s.Takes()))
			}
		}
		for _, c := range l.Columns {
			beside = append(beside, "needs the column `"+c+"`")
		}
		if l.Unpaired {
			beside = append(beside, "single answers, with the column `label`")
		}
		if l.Free {
			beside = append(beside, "runs no reference")
		}
		rows = append(rows, []string{"`" + name + "`", "`" + l.Says + "`", l.Paper, strings.Join(beside, "; "), strings.Join(judges[name], ", ")})
	}
	return markdownTable([]string{"`--loss`", "of each row", "from", "beside `--beta`", "held by"}, rows)
}

// lossJudges names the tests that hold each loss, by the golden files that they read.
func lossJudges(t *testing.T) map[string][]string {
	t.Helper()
	judges := map[string][]string{}
	for _, g := range []struct {
		test  string
		files []string // patterns
		name  *regexp.Regexp
		ours  map[string]string
	}{
		{"TestLossesEqualTRL", []string{"losses.json"}, regexp.MustCompile(`"loss": "([a-z_]+)"`), nil},
		{"TestLossesFollowTRL", []string{"trl/losses.json"}, regexp.MustCompile(`"loss": "([a-z_]+)"`), nil},
		{"TestTrainFollowsTRL", []string{"trl/tiny-llama-adamw.json", "trl/tiny-llama-hinge.json", "trl/tiny-llama-ipo.json", "trl/tiny-llama-robust.json"},
			regexp.MustCompile(`"loss_type": "([a-z_]+)"`), map[string]string{"ipo": "ipo_mean"}},
		{"TestStepLossesEqualTRL", []string{"steplosses.json"}, regexp.MustCompile(`"name":"([a-z_]+)"`), nil},
		{"TestStepsFollowTRL", []string{"trl/steps/*.json"},
			regexp.MustCompile(`"loss_type": "([a-z_]+)"`), map[string]string{"bco_pair": "bco_pair_unshifted"}},
	} {
		mustHaveTest(t, g.test)
		for _, file := range goldenFiles(t, g.files) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range g.name.FindAllStringSubmatch(string(text), -1) {
				name := m[1]
				if ours, ok := g.ours[name]; ok {
					name = ours
				}
				if test := "`" + g.test + "`"; !slices.Contains(judges[name], test) {
					judges[name] = append(judges[name], test)
				}
			}
		}
	}
	for _, name := range loss.Names() {
		if judges[name] == nil {
			t.Errorf("no golden file has a case of loss %s", name)
		}
	}
	return judges
}

// goldenFiles are those below testdata/golden that patterns match.
func goldenFiles(t *testing.T, patterns []string) (files []string) {
	t.Helper()
	for _, p := range patterns {
		matched, err := filepath.Glob(filepath.Join(golden.Testdata(t, "golden"), filepath.FromSlash(p)))
		if err != nil || matched == nil {
			t.Fatalf("no golden file is %s (%v)", p, err)
		}
		files = append(files, matched...)
	}
	return files
}

// mustHaveTest reports a test that package dpo does not have.
func mustHaveTest(t *testing.T, name string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(golden.Root(t), "dpo", "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "func "+name+"(") {
			return
		}
	}
	t.Errorf("package dpo has no test %s", name)
}
