// Package safefile replaces files whole: a reader, and whoever comes after a crash, finds the old file or the new one, never
// a part of either.
//
//	f, err := safefile.Create("model.safetensors")
//	defer f.Abort() // does nothing after Commit
//	... write to f ...
//	err = f.Commit()
//
// What is written goes to a temporary file in the same folder, ".NAME.*.tmp", which gets its name once it is on the disk; then the
// folder is synced, so that the name is too. A killed process leaves the temporary file behind, and nothing else.
package safefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// File is a file that is not in its place yet.
type File struct {
	*os.File
	path string
	done bool
}

// Create begins to replace the file at path, or to make it.
func Create(path string) (*File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return nil, &os.PathError{Op: "create a file in", Path: filepath.Dir(path), Err: cause(err)}
	}
	return &File{File: f, path: path}, nil
}

// Write is io.Writer's. Its errors are without the temporary file's name, which says nothing to whom it is shown.
func (f *File) Write(data []byte) (int, error) {
	n, err := f.File.Write(data)
	return n, cause(err)
}

// cause drops the path from an error.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Commit puts the file in its place, readable by all. After an error there is no file but the old one.
func (f *File) Commit() error {
	err := f.Chmod(0o644) // temporary files are for their owner only
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Abort())
	}
	f.done = true
	err = f.Close()
	if err == nil {
		err = os.Rename(f.Name(), f.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(filepath.Dir(f.path))
}

// Abort gives the file up. After Commit it does nothing, so it can be deferred.
func (f *File) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Write replaces the file at path by data.
func Write(path string, data []byte) error {
	if err := write(path, data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func write(path string, data []byte) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}

// SyncDir makes the names in a folder outlive a power cut. Windows has no such call.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
