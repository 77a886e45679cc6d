//go:build unix

package ort

import "golang.org/x/sys/unix"

// mapPages takes zeroed pages from the kernel. They are touched, and so become resident, only as they are used.
func mapPages(bytes int) ([]byte, error) {
	return unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

func unmapPages(pages []byte) {
	if err := unix.Munmap(pages); err != nil {
		panic("ort: unmap a buffer: " + err.Error()) // the mapping is ours alone: only a broken Buffer gets here
	}
}
