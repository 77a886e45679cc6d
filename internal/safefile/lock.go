package safefile

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gofrs/flock"
)

// Lock is the right of one process to write somewhere. It ends with the process, however that ends.
type Lock struct{ file *flock.Flock }

// ErrLocked is in the chain of an error about a lock that another process holds.
var ErrLocked = errors.New("another process is writing there")

// TakeLock takes the lock that the file at path stands for, and makes the file. It holds the number of the process that took it last.
func TakeLock(path string) (*Lock, error) {
	for {
		l := &Lock{flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))}
		taken, err := l.file.TryLock()
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, cause(err))
		}
		if !taken {
			return nil, fmt.Errorf("lock %s: %w%s", path, ErrLocked, holder(path))
		}
		if l.current() {
			return l, os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644)
		}
		if err := l.file.Close(); err != nil { // whoever held it has removed the file meanwhile
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}

// holder names the process that holds a lock, as far as it is known.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

// current reports whether the file that is locked is the one that has the name.
func (l *Lock) current() bool {
	held, err := l.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(l.file.Path())
	return err == nil && os.SameFile(held, named)
}

// Release ends the lock, and removes its file.
func (l *Lock) Release() error {
	if l == nil {
		return nil
	}
	var err error
	if l.current() { // it is gone where its folder has been removed
		err = os.Remove(l.file.Path())
	}
	return errors.Join(err, l.file.Close())
}
