package safefile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Appended is a file that grows.
type Appended struct {
	file *os.File
	at   int64
}

// Append opens the file at path, or makes it, to go on after its first length bytes, or after all where there are fewer.
func Append(path string, length int64) (*Appended, error) {
	_, err := os.Stat(path)
	fresh := errors.Is(err, os.ErrNotExist)
	if fresh {
		_, err = before(Call{Op: OpCreate, Path: path})
	}
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	a := &Appended{file: f}
	if fresh {
		after(Call{Op: OpCreate, Path: path})
		err = SyncDir(filepath.Dir(path))
	}
	if err == nil {
		err = a.cut(length)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return a, nil
}

// cut drops what lies after the first length bytes.
func (a *Appended) cut(length int64) (err error) {
	if a.at, err = a.file.Seek(0, io.SeekEnd); err != nil || a.at <= length {
		return err
	}
	c := Call{Op: OpTruncate, Path: a.file.Name(), At: length}
	if err := made(c, func() error { return a.file.Truncate(length) }); err != nil {
		return err
	}
	a.at, err = a.file.Seek(length, io.SeekStart)
	return err
}

// Write is io.Writer's.
func (a *Appended) Write(data []byte) (int, error) {
	n, err := write(a.file, data, a.at)
	a.at += int64(n)
	return n, err
}

// Len is the length of the file so far.
func (a *Appended) Len() int64 { return a.at }

// Sync gives the file's length once all of it is on the disk.
func (a *Appended) Sync() (length int64, err error) { return a.at, sync(a.file) }

// Close closes the file.
func (a *Appended) Close() error { return a.file.Close() }
