package datasets

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/format"
)

// What a page holds is counted before the library decodes it: it would make room for as many values as a run of a few bytes claims,
// and take the entries of a dictionary by whatever ids there are.

// pageValues is a page, decompressed, and what its header says of it.
type pageValues struct {
	count                  int64 // values, nulls included
	encoding               format.Encoding
	levels                 format.Encoding
	typ                    format.Type
	width                  int32 // of a value of fixed length
	repetition, definition int   // the highest levels of the column
	dictionary             int64 // entries
}

var errPageShort = errors.New("it ends before its values do: the file is damaged")

// checkV1 checks the bytes of a page of version 1: repetition levels, definition levels, values.
func (v pageValues) checkV1(data []byte) error {
	if v.levels != format.RLE {
		return nil // an old encoding without lengths, which the library refuses
	}
	present := v.count
	for i, most := range []int{v.repetition, v.definition} {
		if most == 0 {
			continue
		}
		if len(data) < 4 || int64(binary.LittleEndian.Uint32(data)) > int64(len(data)-4) {
			return errPageShort
		}
		n := 4 + int(binary.LittleEndian.Uint32(data))
		top, err := v.checkLevels(data[4:n], most)
		if err != nil {
			return err
		}
		if data = data[n:]; i == 1 {
			present = top
		}
	}
	return v.checkValues(data, present)
}

// checkV2 checks the bytes of a page of version 2, whose levels lie apart.
func (v pageValues) checkV2(repetition, definition, data []byte) error {
	present := v.count
	if v.repetition > 0 {
		if _, err := v.checkLevels(repetition, v.repetition); err != nil {
			return err
		}
	}
	if v.definition > 0 {
		top, err := v.checkLevels(definition, v.definition)
		if err != nil {
			return err
		}
		present = top
	}
	return v.checkValues(data, present)
}

// checkLevels checks levels, and counts those that are the highest.
func (v pageValues) checkLevels(data []byte, most int) (top int64, err error) {
	r := runs{data: data, width: bitsFor(most), count: v.count}
	err = r.each(func(level uint32, n int64) error {
		switch {
		case level > uint32(most):
			return fmt.Errorf("it has the level %d, above its column's %d: the file is damaged", level, most)
		case level == uint32(most):
			top += n
		}
		return nil
	})
	return top, err
}

func bitsFor(n int) (bits int) {
	for ; n > 0; n >>= 1 {
		bits++
	}
	return bits
}

// checkValues checks that n values that are there can be decoded.
func (v pageValues) checkValues(data []byte, n int64) error {
	wrong := fmt.Errorf("its values are %s in the encoding %s (%d), which is for others: the file is damaged", v.typ, v.encoding, v.encoding)
	integer := v.typ == format.Int32 || v.typ == format.Int64
	switch v.encoding {
	case format.Plain:
		return v.checkPlain(data, n)
	case plainDictionary, format.RLEDictionary:
		if n == 0 {
			return nil
		}
		if len(data) == 0 || data[0] > 32 {
			return errors.New("its ids have no width from 0 to 32 bits: the file is damaged")
		}
		r := runs{data: data[1:], width: int(data[0]), count: n}
		return r.each(func(id uint32, _ int64) error {
			if int64(id) >= v.dictionary {
				return fmt.Errorf("it has the id %d, where its dictionary has %d entries: the file is damaged", id, v.dictionary)
			}
			return nil
		})
	case format.RLE:
		if v.typ != format.Boolean {
			return wrong
		}
		if len(data) < 4 || int64(binary.LittleEndian.Uint32(data)) > int64(len(data)-4) {
			return errPageShort
		}
		r := runs{data: data[4 : 4+binary.LittleEndian.Uint32(data)], width: 1, count: n}
		return r.each(func(uint32, int64) error { return nil })
	case format.DeltaBinaryPacked:
		if !integer {
			return wrong
		}
		return checkDelta(data, n)
	case format.DeltaLengthByteArray, format.DeltaByteArray:
		if v.typ != format.ByteArray && (v.typ != format.FixedLenByteArray || v.encoding == format.DeltaLengthByteArray) {
			return wrong
		}
		return checkDelta(data, n)
	case format.ByteStreamSplit:
		if v.typ == format.ByteArray || v.typ == format.Boolean || v.typ == format.Int96 {
			return wrong
		}
		return v.checkPlain(data, n)
	}
	return wrong
}

// checkPlain checks values one behind the other.
func (v pageValues) checkPlain(data []byte, n int64) error {
	size := map[format.Type]int64{format.Int32: 4, format.Int64: 8, format.Int96: 12, format.Float: 4, format.Double: 8, format.FixedLenByteArray: int64(v.width)}[v.typ]
	switch {
	case v.typ == format.Boolean:
		if int64(len(data)) < (n+7)/8 {
			return errPageShort
		}
	case size > 0: // n is bounded, so no product overflows
		if int64(len(data)) < n*size {
			return errPageShort
		}
	default:
		for i := range n {
			if len(data) < 4 {
				return errPageShort
			}
			length := int64(binary.LittleEndian.Uint32(data))
			if length > int64(len(data)-4) {
				return fmt.Errorf("its value %d is of %d bytes, where %d are left: the file is damaged", i, length, len(data)-4)
			}
			data = data[4+length:]
		}
	}
	return nil
}

// checkDelta checks the head of integers held by their differences: block size, blocks' parts, count, first value.
func checkDelta(data []byte, n int64) error {
	if n == 0 {
		return nil
	}
	var head [3]uint64
	for i := range head {
		x, k := binary.Uvarint(data)
		if k <= 0 {
			return errPageShort
		}
		head[i], data = x, data[k:]
	}
	if block, parts := head[0], head[1]; block == 0 || block%128 != 0 || block > 1<<20 || parts == 0 || block%parts != 0 || block/parts%32 != 0 {
		return fmt.Errorf("its differences are in blocks of %d in %d parts: the file is damaged", block, parts)
	}
	if head[2] != uint64(n) {
		return fmt.Errorf("its differences are of %d values, where there are %d: the file is damaged", head[2], n)
	}
	return nil
}

// runs are numbers of a width in bits: runs of one, or groups of eight packed.
type runs struct {
	data  []byte
	width int
	count int64 // how many there are to be
}

// padding is how many numbers may follow the last, to fill a group.
const padding = 504

// each gives the numbers, and how often each comes. It reads to the end: the library does, whatever the count.
func (r runs) each(take func(x uint32, n int64) error) error {
	got, size := int64(0), (r.width+7)/8
	for len(r.data) > 0 {
		head, k := binary.Uvarint(r.data)
		if k <= 0 {
			break
		}
		r.data = r.data[k:]
		n := head >> 1
		if head&1 == 1 {
			n = min(n, 1<<32) * 8
		}
		if n > uint64(max(r.count-got, 0))+padding {
			return fmt.Errorf("it has a run of %d values, where %d are left: the file is damaged", n, max(r.count-got, 0))
		}
		if head&1 == 1 {
			bytes := int(n) / 8 * r.width
			if bytes > len(r.data) {
				break
			}
			if err := r.packed(int64(n), &got, take); err != nil {
				return err
			}
			r.data = r.data[bytes:]
			continue
		}
		if size > len(r.data) {
			break
		}
		var x [4]byte
		copy(x[:], r.data[:size])
		r.data = r.data[size:]
		if here := min(int64(n), r.count-got); here > 0 {
			if err := take(binary.LittleEndian.Uint32(x[:]), here); err != nil {
				return err
			}
		}
		got += int64(n)
	}
	if got < r.count {
		return fmt.Errorf("it has %d of %d values: the file is damaged", got, r.count)
	}
	return nil
}

// packed gives n numbers that lie bit by bit, those beyond the count left out.
func (r runs) packed(n int64, got *int64, take func(uint32, int64) error) error {
	for i := range n {
		if *got >= r.count {
			*got += n - i
			return nil
		}
		var x uint64
		at := int(i) * r.width
		for k, b := range r.data[at/8 : min((at+r.width+7)/8, len(r.data))] {
			x |= uint64(b) << (8 * k)
		}
		if err := take(uint32(x>>(at%8)&(1<<r.width-1)), 1); err != nil {
			return err
		}
		*got++
	}
	return nil
}
