package ort

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// mapPages takes zeroed pages from the kernel.
func mapPages(bytes int) ([]byte, error) {
	return virtual(bytes, windows.MEM_COMMIT|windows.MEM_RESERVE, windows.PAGE_READWRITE)
}

// fencePages takes addresses that nothing can be read from or written to, and no memory.
func fencePages(bytes int) ([]byte, error) {
	return virtual(bytes, windows.MEM_RESERVE, windows.PAGE_NOACCESS)
}

func virtual(bytes int, kind, access uint32) ([]byte, error) {
	at, err := windows.VirtualAlloc(0, uintptr(bytes), kind, access)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), bytes), nil
}

func unmapPages(pages []byte) {
	if err := windows.VirtualFree(uintptr(unsafe.Pointer(&pages[0])), 0, windows.MEM_RELEASE); err != nil {
		panic("ort: unmap a buffer: " + err.Error())
	}
}
