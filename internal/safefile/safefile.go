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
//
// Whatever else the program changes on a disk goes through this package too: files that grow ([Append]), folders, names. So
// [Intercept] sees every change.
package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync/atomic"
	"syscall"
)

// File is a file that is not in its place yet.
type File struct {
	file *os.File
	path string
	at   int64 // bytes written
	done bool
}

// Create begins to replace the file at path, or to make it.
func Create(path string) (*File, error) {
	dir := filepath.Dir(path)
	var f *os.File
	_, err := before(Call{Op: OpCreate, Path: path})
	if err == nil {
		f, err = os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	}
	if err == nil {
		after(Call{Op: OpCreate, Path: f.Name()})
		return &File{file: f, path: path}, nil
	}
	return nil, &os.PathError{Op: "create a file in", Path: dir, Err: cause(err)}
}

// Write is io.Writer's. Its errors are without the temporary file's name, which says nothing to whom it is shown.
func (f *File) Write(data []byte) (int, error) {
	n, err := write(f.file, data, f.at)
	f.at += int64(n)
	return n, err
}

// write writes data, which begins at a place in the file.
func write(f *os.File, data []byte, at int64) (int, error) {
	c := Call{Op: OpWrite, Path: f.Name(), Data: data, At: at}
	allowed, err := before(c)
	if err != nil {
		n, _ := f.Write(data[:min(allowed, len(data))])
		after(Call{Op: OpWrite, Path: f.Name(), Data: data[:n], At: at})
		return n, err
	}
	n, err := f.Write(data)
	after(Call{Op: OpWrite, Path: f.Name(), Data: data[:n], At: at})
	return n, cause(err)
}

// cause drops the path from an error.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// Commit puts the file in its place, readable by all. After an error there is no file but the old one.
func (f *File) Commit() error {
	err := f.file.Chmod(0o644) // temporary files are for their owner only
	if err == nil {
		err = sync(f.file)
	}
	if err != nil {
		return errors.Join(err, f.Abort())
	}
	f.done = true
	if err = f.file.Close(); err == nil {
		err = rename(f.file.Name(), f.path)
	}
	if err != nil {
		return errors.Join(err, remove(f.file.Name()))
	}
	return SyncDir(filepath.Dir(f.path))
}

func sync(f *os.File) error {
	return made(Call{Op: OpSync, Path: f.Name()}, f.Sync)
}

func rename(from, to string) error {
	return made(Call{Op: OpRename, Path: from, To: to}, func() error { return os.Rename(from, to) })
}

func remove(path string) error {
	return made(Call{Op: OpRemove, Path: path}, func() error { return os.Remove(path) })
}

// Abort gives the file up. After Commit it does nothing, so it can be deferred.
func (f *File) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	return errors.Join(f.file.Close(), remove(f.file.Name()))
}

// Write replaces the file at path by data.
func Write(path string, data []byte) error {
	if err := replace(path, data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func replace(path string, data []byte) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}

// Writable is an error where no file can be made in a folder, of which it makes the test.
func Writable(dir string) error {
	f, err := Create(filepath.Join(dir, "writable"))
	if err != nil {
		return err
	}
	return f.Abort()
}

// MkdirAll makes a folder and those above it that are missing, each on the disk before the next.
func MkdirAll(dir string, mode fs.FileMode) error {
	info, err := os.Stat(dir)
	if err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(parent, mode); err != nil {
			return err
		}
	}
	err = made(Call{Op: OpMkdir, Path: dir}, func() error { return os.Mkdir(dir, mode) })
	if errors.Is(err, fs.ErrExist) {
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil // made meanwhile by another
		}
		err = syscall.ENOTDIR
	}
	if err != nil {
		return fmt.Errorf("make the folder %s: %w", dir, cause(err))
	}
	return SyncDir(parent)
}

// Rename gives a file or folder, which is on the disk, another name in the same folder.
func Rename(from, to string) error {
	if err := rename(from, to); err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, filepath.Base(to), cause(err))
	}
	return SyncDir(filepath.Dir(to))
}

// RemoveAll removes a folder with all that it holds. First it loses its name, so that nobody finds it with a part missing; a
// killed process leaves it behind as ".NAME.tmp", which the next call for the same name removes.
func RemoveAll(dir string) error {
	nameless := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp")
	err := clear(nameless)
	if err == nil {
		err = rename(dir, nameless)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = clear(nameless)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, cause(err))
	}
	return nil
}

// clear removes what nobody looks for.
func clear(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return made(Call{Op: OpRemove, Path: path}, func() error { return os.RemoveAll(path) })
}

// left matches what killed processes leave of files and folders.
var left = regexp.MustCompile(`^\..+\.tmp$`)

// Sweep removes from a folder what killed processes have left there. Nobody else may be writing in it.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if left.MatchString(e.Name()) {
			err = errors.Join(err, clear(filepath.Join(dir, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("clean up %s: %w", dir, err)
	}
	return nil
}

// Remove removes a file, if it is there.
func Remove(path string) error {
	if err := remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", path, cause(err))
	}
	return nil
}

// SyncDir makes the names in a folder outlive a power cut. Windows has no such call.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return made(Call{Op: OpSyncDir, Path: dir}, func() error {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		return errors.Join(d.Sync(), d.Close())
	})
}

// links counts those that were begun, so that no two have one name meanwhile.
var links atomic.Int64

// Link gives the file at target a second name, by a symbolic link that says where the one lies from the other, or where a system refuses
// that, by a hard link. A name that is there already is replaced.
func Link(target, path string) error {
	relative, err := filepath.Rel(filepath.Dir(path), target)
	if err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	fresh := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d.%d.tmp", filepath.Base(path), os.Getpid(), links.Add(1)))
	err = errors.Join(clear(fresh), made(Call{Op: OpLink, Path: fresh, To: target}, func() error {
		if os.Symlink(relative, fresh) == nil {
			return nil
		}
		return os.Link(target, fresh)
	}))
	if err == nil {
		err = rename(fresh, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("link %s to %s: %w", path, target, cause(err)), clear(fresh))
	}
	return SyncDir(filepath.Dir(path))
}
