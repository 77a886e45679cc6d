// Package safetensors reads and writes the safetensors format, in which models are exchanged.
//
// A file is
//
//	8 bytes   N, the length of the header: unsigned, little-endian
//	N bytes   the header: a JSON object in UTF-8 that begins with '{', padded with spaces at its end
//	the rest  the elements of all tensors, row-major, little-endian
//
// The header maps each tensor's name to
//
//	{"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
//
// with offsets into the rest, begin and end; "__metadata__" maps to an object of strings. Every byte of the rest belongs to
// exactly one tensor: no holes, no overlaps, nothing after the last. A scalar's shape is [].
//
// [Open] maps a file into memory, and a [Tensor]'s Data is part of the mapping: reading a model costs no memory that the
// system cannot take back. Whatever a file holds, reading it returns one of the errors named here, or tensors that lie
// inside the file. What no check can catch: a file that another program cuts short while it is mapped ends the process
// (SIGBUS); replace files by renaming, as [Write] does.
package safetensors

import "errors"

// The ways in which a file breaks the format, or a folder of files its index. Errors of this package wrap them.
var (
	ErrTruncated     = errors.New("file is cut short")
	ErrOverlong      = errors.New("file goes on after the last tensor")
	ErrHeaderTooLong = errors.New("header is longer than 100 MB")
	ErrHeader        = errors.New("header is not what the format asks for")
	ErrDuplicate     = errors.New("name is used twice")
	ErrDType         = errors.New("unknown element type")
	ErrOffsets       = errors.New("data_offsets end before they begin")
	ErrOverlap       = errors.New("tensors overlap")
	ErrHole          = errors.New("bytes between tensors belong to none")
	ErrSize          = errors.New("shape and number of bytes differ")
	ErrOverflow      = errors.New("shape has more elements than can be counted")
	ErrNoTensor      = errors.New("no such tensor")
	ErrName          = errors.New("name cannot be written")
	ErrIndex         = errors.New("index and files differ")
	ErrShardPath     = errors.New("index names a file outside its folder")
)

// maxHeader is the reference implementation's limit.
const maxHeader = 100_000_000

const metadataKey = "__metadata__"

// dtypes lists the element types in the order in which files hold them, which is the reference implementation's: the
// widest first, so that every tensor is aligned to its elements.
var dtypes = []struct {
	name string
	bits int64
}{
	{"U64", 64}, {"I64", 64}, {"F64", 64}, {"C64", 64}, {"F32", 32}, {"U32", 32}, {"I32", 32},
	{"BF16", 16}, {"F16", 16}, {"U16", 16}, {"I16", 16},
	{"F8_E8M0", 8}, {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"I8", 8}, {"U8", 8}, {"F6_E3M2", 6}, {"F6_E2M3", 6}, {"F4", 4}, {"BOOL", 8},
}

// rank is the place of an element type in dtypes; −1 where it is unknown.
func rank(dtype string) int {
	for i, d := range dtypes {
		if d.name == dtype {
			return i
		}
	}
	return -1
}
