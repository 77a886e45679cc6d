package datasets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A wholeFile is written beside its place, and appears there at once and whole.
type wholeFile struct {
	*os.File
	path string
	done bool
}

// newWholeFile begins a file, in the folder it is for, so that renaming it is one step.
func newWholeFile(path string) (*wholeFile, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	return &wholeFile{File: f, path: path}, nil
}

// place completes the file and puts it in its place; with an error of what was written, it gives the file up.
func (f *wholeFile) place(err error) error {
	if f.done {
		return nil
	}
	if err == nil {
		err = f.Chmod(0o644) // temporary files are for their owner only
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", f.path, err), f.Abort())
	}
	f.done = true
	err = f.Close()
	if err == nil {
		err = os.Rename(f.Name(), f.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", f.path, err), os.Remove(f.Name()))
	}
	return syncFolder(filepath.Dir(f.path))
}

// Abort gives the file up. In its place it does nothing, so it can be deferred.
func (f *wholeFile) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// syncFolder makes sure that a new name in a folder outlives a crash.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("writing to %s: %w", dir, err)
	}
	return nil
}
