package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/settings"
)

// holdTables compares each table of a name on README.md and the pages of docs, between <!-- NAME --> and <!-- end of NAME -->, with what it should be, or
// rewrites it. One page must have it.
func holdTables(t *testing.T, name, table string) {
	t.Helper()
	pages := 0
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
	if pages == 0 {
		t.Errorf("no page has the table of %s", name)
	}
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

// settingCells writes settings with their defaults, what they are, and what they may be.
func settingCells(all []settings.Setting) (cells []string) {
	for _, s := range all {
		cells = append(cells, fmt.Sprintf("`%s=%s` %s (%s)", s.Name, s.Default, s.About, s.Takes()))
	}
	return cells
}
