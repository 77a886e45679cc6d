package datasets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Expand turns files, globs and folders into a sorted list of data files without
// duplicates. A folder stands for all files of a known format below it, but for those
// whose name, or whose folder's name, starts with "." or "_" (as _SUCCESS). A pattern that matches no file is an error.
func Expand(patterns []string) ([]string, error) {
	var files []string
	for _, pattern := range patterns {
		found, err := expand(pattern)
		if err != nil {
			return nil, fmt.Errorf("finding data %q: %w", pattern, err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil, errors.New("finding data: no file named")
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func expand(pattern string) ([]string, error) {
	// A name that exists is taken literally, even when it holds glob characters.
	matches := []string{pattern}
	if _, err := os.Stat(pattern); err != nil {
		if !strings.ContainsAny(pattern, "*?[") {
			return nil, err
		}
		if matches, err = filepath.Glob(pattern); err != nil {
			return nil, err
		}
	}
	var files []string
	for _, m := range matches {
		info, err := os.Stat(m)
		switch {
		case err != nil:
			return nil, err
		case info.IsDir():
			below, err := walk(m)
			if err != nil {
				return nil, err
			}
			files = append(files, below...)
		default:
			if _, err := sourceOf(m); err != nil {
				return nil, err
			}
			files = append(files, filepath.Clean(m))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no file matches (formats: %s)", strings.Join(extensions(), ", "))
	}
	return files, nil
}

// walk returns the data files below a folder.
func walk(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if hidden := strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_"); hidden && path != dir {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if _, err := sourceOf(path); err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	return files, err
}
