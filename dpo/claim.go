package dpo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// claimFolder begins a job in a folder by writing there, as file, what it is made with; or goes on with one that was begun by the same. It
// refuses a folder that holds anything else.
func claimFolder[Job any](dir, file string, j Job) error {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return fmt.Errorf("output directory %s is not empty (it holds %s): choose another --out", dir, entries[0].Name())
		}
		return writeJSON(filepath.Join(dir, file), j)
	}
	if err != nil {
		return fmt.Errorf("go on with %s: %w", dir, err)
	}
	var begun Job
	if err := readStrictly(text, &begun); err != nil {
		return fmt.Errorf("go on with %s: %s: %w", dir, file, err)
	}
	changed, err := differences(begun, j)
	if err == nil && changed != nil {
		err = fmt.Errorf("it was begun with other settings: %s; give those to go on, or another --out", strings.Join(changed, "; "))
	}
	if err != nil {
		return fmt.Errorf("go on with %s: %w", dir, err)
	}
	return nil
}

// writeJSON writes a value as a file, whole, in a folder that it makes.
func writeJSON(path string, value any) error {
	if err := safefile.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return safefile.Write(path, append(text, '\n'))
}
