package datasets

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// A record is one row of a file, of any format.
type record struct {
	row, line int64    // as in RowError
	columns   []string // names of all columns of the row, in the file's order
	// values of the columns asked for that are there: nil, bool, float64, string, []any or map[string]any
	values map[string]any
	// json gives a value as JSON, the fields of its objects in the file's order; nil if the record has no values.
	json func(column string) json.RawMessage
}

// A source reads files of one format.
type source interface {
	// records streams the rows of a file with those of its columns that want names. A *RowError stands for a bad row, and others follow it;
	// any other error is the last.
	records(path string, want func(columns []string) map[string]bool) iter.Seq2[record, error]
	// table opens a file whose rows are to be kept whole.
	table(path string) (tableFile, error)
	// create begins a file with the columns of a table.
	create(path string, t *Table) (rowWriter, error)
}

// A rowWriter writes rows of tables whose columns are those it was created with.
type rowWriter interface {
	add(t *Table, row Row) error
	Close() error // puts the file in its place
	Abort() error // gives it up; after Close it does nothing
}

var sources = map[string]source{}

// register makes files with the extensions known. Each format's file calls it once.
func register(s source, extensions ...string) {
	for _, e := range extensions {
		sources[e] = s
	}
}

func extensions() []string { return slices.Sorted(maps.Keys(sources)) }

func sourceOf(path string) (source, error) {
	ext := strings.ToLower(filepath.Ext(path))
	if s, ok := sources[ext]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("%s: no reader for the extension %q (known: %s)", path, ext, strings.Join(extensions(), ", "))
}
