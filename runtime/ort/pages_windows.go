package ort

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// mapPages takes zeroed pages from the kernel.
func mapPages(bytes int) ([]byte, error) {
	at, err := windows.VirtualAlloc(0, uintptr(bytes), windows.MEM_COMMIT|windows.MEM_RESERVE, windows.PAGE_READWRITE)
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
