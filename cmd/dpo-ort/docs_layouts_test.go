package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// The table of layouts, on whichever pages have one, is that of the registry. -update rewrites it.
func TestDocsListLayouts(t *testing.T) {
	var rows [][]string
	for _, l := range datasets.Layouts() {
		rows = append(rows, []string{l.Name, l.From, "`" + strings.ReplaceAll(strings.ReplaceAll(l.Needs(), ", ", "`, `"), " or ", "` or `") + "`", l.Holds, "`TestLayouts`"})
	}
	text, err := os.ReadFile(filepath.Join(golden.Root(t), "datasets", "layout_test.go"))
	if err != nil || !strings.Contains(string(text), "func TestLayouts(") {
		t.Errorf("package datasets has no test TestLayouts: %v", err)
	}
	holdTables(t, "layouts", markdownTable([]string{"layout", "after", "columns", "holds", "held by"}, rows))
}
