package dpo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// claimFolder begins a job in a folder by writing there, as file, what it is made with; or goes on with one that was begun by the same. It
// refuses a folder that holds anything else, or that another process writes. The lock is the caller's to release.
func claimFolder[Job any](dir, file string, j Job) (*safefile.Lock, error) {
	if !there(filepath.Join(dir, file)) {
		entries, _ := os.ReadDir(dir)
		if i := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), ".") }); i >= 0 {
			return nil, fmt.Errorf("output directory %s is not empty (it holds %s): choose another --out", dir, entries[i].Name())
		}
		if err := safefile.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("output directory: %w", err)
		}
	}
	lock, err := safefile.TakeLock(filepath.Join(dir, folderLock))
	if err == nil {
		err = sameJob(dir, file, j)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("go on with %s: %w", dir, err), lock.Release())
	}
	return lock, nil
}

// sameJob compares a job with the one that a folder was begun with, or begins it.
func sameJob[Job any](dir, file string, j Job) error {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return writeJSON(filepath.Join(dir, file), j)
	}
	if err != nil {
		return err
	}
	var begun Job
	if err := readStrictly(text, &begun); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	changed, err := differences(begun, j)
	if err == nil && changed != nil {
		err = fmt.Errorf("it was begun with other settings: %s; give those to go on, or another --out", strings.Join(changed, "; "))
	}
	return err
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
