package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// The tables of docs/optimizers.md are those of the registries. -update rewrites them.
func TestDocsListOptimizersAndSchedules(t *testing.T) {
	page := filepath.Join(golden.Root(t), "docs", "optimizers.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	out := string(text)
	for name, table := range map[string]string{"optimizers": optimizerTable(t), "schedules": scheduleTable(t)} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->"
		before, rest, ok := strings.Cut(out, begin)
		was, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("%s has no table between %q and %q", page, begin, end)
		}
		if was != table && !*update {
			t.Errorf("the table of %s is not the registry's (-update rewrites it); it should be\n%s", name, table)
		}
		out = before + begin + table + end + after
	}
	if *update {
		if err := os.WriteFile(page, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func optimizerTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| `--optimizer` | after | its settings, with their defaults |\n|---|---|---|\n")
	for _, name := range optim.Names() {
		k, err := optim.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, k.Source, settingsCell(k.Settings))
	}
	return b.String()
}

func scheduleTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| `--schedule` | after the warm-up the rate | its settings, with their defaults |\n|---|---|---|\n")
	for _, name := range optim.Schedules() {
		k, err := optim.LookupSchedule(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, k.About, settingsCell(k.Settings))
	}
	return b.String()
}

func settingsCell(settings []optim.Setting) string {
	var parts []string
	for _, s := range settings {
		about := s.About
		if s.Words != nil {
			about += " (" + strings.Join(s.Words, ", ") + ")"
		}
		parts = append(parts, fmt.Sprintf("`%s=%s` %s", s.Name, s.Default, about))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, "; ")
}
