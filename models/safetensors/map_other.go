//go:build !unix

package safetensors

import (
	"io"
	"os"
)

// mmap reads the whole file, where mapping it would need code of its own.
func mmap(f *os.File, size int) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(f, data)
	return data, err
}

func unmap([]byte) error { return nil }
