package datasets

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The headers of Parquet are structures of Thrift in its compact protocol. The library allocates what the length of a list or of a
// string claims before it reads one entry, and follows nesting by recursion until the stack is full, which ends the
// process. So the bytes are walked here first: lengths must fit what is left, and nesting a bound.

// thriftDepth is more than any header nests.
const thriftDepth = 24

var (
	errThriftCut  = errors.New("it ends in the middle")
	errThriftDeep = fmt.Errorf("it nests deeper than %d", thriftDepth)
)

// thriftWalk passes over a structure.
type thriftWalk struct {
	data    []byte
	at      int
	structs int64 // in lists, so far
}

// walkThrift gives the length of the structure that data begins with, and how many structures its lists hold.
func walkThrift(data []byte) (length int, structs int64, err error) {
	w := thriftWalk{data: data}
	err = w.structure(0)
	return w.at, w.structs, err
}

// The types of the compact protocol.
const (
	thriftStop = iota
	thriftTrue
	thriftFalse
	thriftByte
	thriftI16
	thriftI32
	thriftI64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStruct
	thriftUUID
)

func (w *thriftWalk) structure(depth int) error {
	if depth > thriftDepth {
		return errThriftDeep
	}
	for {
		head, err := w.byte()
		if err != nil {
			return err
		}
		kind := head & 15
		if head == thriftStop {
			return nil
		}
		if head>>4 == 0 { // the number of the field follows
			if _, err := w.varint(); err != nil {
				return err
			}
		}
		if kind == thriftTrue || kind == thriftFalse {
			continue // the type is the value
		}
		if err := w.value(kind, depth); err != nil {
			return err
		}
	}
}

func (w *thriftWalk) value(kind byte, depth int) error {
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		return w.skip(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := w.varint()
		return err
	case thriftDouble:
		return w.skip(8)
	case thriftUUID:
		return w.skip(16)
	case thriftBinary:
		n, err := w.varint()
		if err != nil {
			return err
		}
		return w.skip(n)
	case thriftList, thriftSet:
		return w.list(depth + 1)
	case thriftMap:
		return w.mapping(depth + 1)
	case thriftStruct:
		return w.structure(depth + 1)
	}
	return fmt.Errorf("at its byte %d is a value of type %d, which Thrift does not have", w.at, kind)
}

// list passes over a list; each entry takes a byte at least.
func (w *thriftWalk) list(depth int) error {
	if depth > thriftDepth {
		return errThriftDeep
	}
	head, err := w.byte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = w.varint(); err != nil {
			return err
		}
	}
	return w.entries(n, depth, head&15)
}

func (w *thriftWalk) mapping(depth int) error {
	if depth > thriftDepth {
		return errThriftDeep
	}
	n, err := w.varint()
	if err != nil || n == 0 {
		return err
	}
	kinds, err := w.byte()
	if err != nil {
		return err
	}
	return w.entries(n, depth, kinds>>4, kinds&15)
}

func (w *thriftWalk) entries(n uint64, depth int, kinds ...byte) error {
	if n > uint64(len(w.data)-w.at) {
		return fmt.Errorf("at its byte %d is a list of %d entries, where %d bytes are left", w.at, n, len(w.data)-w.at)
	}
	for range n {
		for _, kind := range kinds {
			if kind == thriftStruct {
				w.structs++
			}
			if err := w.value(kind, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *thriftWalk) byte() (byte, error) {
	if w.at >= len(w.data) {
		return 0, errThriftCut
	}
	w.at++
	return w.data[w.at-1], nil
}

func (w *thriftWalk) varint() (uint64, error) {
	v, n := binary.Uvarint(w.data[w.at:])
	switch {
	case n == 0:
		return 0, errThriftCut
	case n < 0:
		return 0, fmt.Errorf("at its byte %d is a number of more than 64 bits", w.at)
	}
	w.at += n
	return v, nil
}

func (w *thriftWalk) skip(n uint64) error {
	if n > uint64(len(w.data)-w.at) {
		return errThriftCut
	}
	w.at += int(n)
	return nil
}
