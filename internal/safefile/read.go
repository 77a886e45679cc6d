package safefile

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Read reads a regular file that has no more than so many bytes: a pipe or a device may have no end.
func Read(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // of a pipe, not to wait for who writes to it
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case info.Size() > most:
		return nil, fmt.Errorf("%s has %d bytes, %d are the most", path, info.Size(), most)
	}
	return io.ReadAll(io.LimitReader(f, most))
}
