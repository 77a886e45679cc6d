package ort

import "golang.org/x/sys/unix"

// adviseHugePages is a wish: a kernel without large pages refuses it, and nothing is lost.
func adviseHugePages(pages []byte) { _ = unix.Madvise(pages, unix.MADV_HUGEPAGE) }
