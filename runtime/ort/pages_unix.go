//go:build unix

package ort

import "golang.org/x/sys/unix"

// hugePages is the size from which a mapping asks for large pages: where a page fault is dear, as in virtual machines,
// the first touch of an optimizer's states took longer than a step.
const hugePages = 4 << 20

// mapPages takes zeroed pages from the kernel. They are touched, and so become resident, only as they are used.
func mapPages(bytes int) ([]byte, error) {
	pages, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err == nil && bytes >= hugePages {
		adviseHugePages(pages)
	}
	return pages, err
}

// fencePages takes addresses that nothing can be read from or written to, and no memory.
func fencePages(bytes int) ([]byte, error) {
	return unix.Mmap(-1, 0, bytes, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

func unmapPages(pages []byte) {
	if err := unix.Munmap(pages); err != nil {
		panic("ort: unmap a buffer: " + err.Error()) // the mapping is ours alone: only a broken Buffer gets here
	}
}
