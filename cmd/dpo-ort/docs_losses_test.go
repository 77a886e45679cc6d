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
)

// The table of losses, on whichever pages have one, is that of the registry. -update rewrites it.
func TestDocsListLosses(t *testing.T) {
	if holdTables(t, "losses", lossTable(t)) == 0 {
		t.Error("no page has the table of losses")
	}
}

// holdTables compares each table of a name on README.md and the pages of docs, between <!-- NAME --> and <!-- end of NAME -->, with what it should be,
// or rewrites it, and counts the pages.
func holdTables(t *testing.T, name, table string) (pages int) {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->"
	for page, text := range docPages(t) {
		before, rest, ok := strings.Cut(text, begin)
		was, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			continue
		}
		if pages++; was == table {
			continue
		}
		if !*update {
			t.Errorf("%s: the table of %s is not the registry's (-update rewrites it); it should be\n%s", page, name, table)
			continue
		}
		if err := os.WriteFile(filepath.Join(golden.Root(t), page), []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return pages
}

// markdownTable writes rows under headings.
func markdownTable(heads []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(heads)
	line(slices.Repeat([]string{"---"}, len(heads)))
	for _, cells := range rows {
		escaped := make([]string, len(cells))
		for i, c := range cells {
			escaped[i] = strings.ReplaceAll(c, "|", `\|`)
		}
		line(escaped)
	}
	return b.String()
}

func lossTable(t *testing.T) string {
	t.Helper()
	judges, rows := lossJudges(t), [][]string{}
	for _, name := range loss.Names() {
		l, err := loss.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		var settings []string
		for _, s := range l.Own() {
			settings = append(settings, fmt.Sprintf("`%s=%v` %s, in %s", s.Name, s.Default, s.Says, s.Range))
		}
		for _, s := range l.Scalars {
			if s.Name == "label_smoothing" {
				settings = append(settings, fmt.Sprintf("`--label-smoothing`, in %s", s.Range))
			}
		}
		for _, c := range l.Columns {
			settings = append(settings, "needs the column `"+c+"`")
		}
		if l.Unpaired {
			settings = append(settings, "single answers, with the column `label`")
		}
		if l.Free {
			settings = append(settings, "runs no reference")
		}
		rows = append(rows, []string{"`" + name + "`", "`" + l.Says + "`", l.Paper, strings.Join(settings, "; "), strings.Join(judges[name], ", ")})
	}
	return markdownTable([]string{"`--loss`", "of each row", "from", "beside `--beta`", "held by"}, rows)
}

// lossJudges names the tests that hold each loss, by the golden files that they read.
func lossJudges(t *testing.T) map[string][]string {
	t.Helper()
	judges := map[string][]string{}
	for _, g := range []struct {
		test  string
		files []string
		name  *regexp.Regexp
		ours  map[string]string
	}{
		{"TestLossesEqualTRL", []string{"losses.json"}, regexp.MustCompile(`"loss": "([a-z_]+)"`), nil},
		{"TestLossesFollowTRL", []string{"trl/losses.json"}, regexp.MustCompile(`"loss": "([a-z_]+)"`), nil},
		{"TestTrainFollowsTRL", []string{"trl/tiny-llama-adamw.json", "trl/tiny-llama-hinge.json", "trl/tiny-llama-ipo.json", "trl/tiny-llama-robust.json"},
			regexp.MustCompile(`"loss_type": "([a-z_]+)"`), map[string]string{"ipo": "ipo_mean"}},
		{"TestStepLossesEqualTRL", []string{"steplosses.json"}, regexp.MustCompile(`"name":"([a-z_]+)"`), nil},
		{"TestStepsFollowTRL", []string{"trl/tiny-llama-aot.json", "trl/tiny-llama-aot_unpaired.json", "trl/tiny-llama-bco_pair.json", "trl/tiny-llama-kto.json"},
			regexp.MustCompile(`"loss_type": "([a-z_]+)"`), map[string]string{"bco_pair": "bco_pair_unshifted"}},
	} {
		mustHaveTest(t, g.test)
		for _, file := range g.files {
			text, err := os.ReadFile(golden.Testdata(t, "golden", filepath.FromSlash(file)))
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
