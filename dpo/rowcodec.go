package dpo

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// An entry of the cache is, in varints but for the first two lines and floats (8 bytes, little-endian),
//
//	"dpo-ort tokens 3\n"
//	SHA-256 of the key
//	number of examples, and each: file (place in the list), row, flags (1: truncated), border tokens, margin, flag (1: it has one), dissent, label, notes,
//	    list of prompt ids, list of the reference's log-probabilities, list of the order, list of the places + 1,
//	    number of completions, and each: list of ids, start, list of gaps' first token and end, flags (1: truncated)
//	number of dropped rows, and each: file, row, length of the reason, reason
//	rows cut, tokens that span a border
//	SHA-256 of all before
//
// A list is its length + 1 and its items; 0 is one that is nil.
const tokensMagic = "dpo-ort tokens 3\n"

func (e entry) encode(w *bufio.Writer, rows *Rows) error {
	place := map[string]int{}
	for i, file := range e.files {
		place[file] = i
	}
	b := append([]byte(tokensMagic), e.sum[:]...)
	b = appendInt(b, len(rows.Examples))
	for _, x := range rows.Examples {
		b = appendExample(b, x, place[x.File])
		if _, err := w.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	b = appendInt(b, len(rows.Dropped))
	for _, d := range rows.Dropped {
		b = binary.AppendUvarint(appendInt(b, place[d.File]), uint64(d.Row))
		b = append(appendInt(b, len(d.Reason)), d.Reason...)
	}
	_, err := w.Write(appendInt(appendInt(b, rows.Truncated), rows.Border))
	return err
}

func appendExample(b []byte, x datasets.Example, file int) []byte {
	b = binary.AppendUvarint(appendInt(b, file), uint64(x.Row))
	b = appendFloat(appendFlag(appendFloat(appendInt(appendFlag(b, x.Truncated), x.BorderTokens), x.Margin), x.HasMargin), x.Dissent)
	b = appendInt(append(b, byte(x.Label)), int(x.Notes))
	b = appendList(b, x.Prompt, appendInt)
	b = appendList(b, x.Ref, appendFloat)
	b = appendList(b, x.Order, appendInt)
	b = appendList(b, x.Places, appendPlace)
	b = appendInt(b, len(x.Completions))
	for _, c := range x.Completions {
		b = appendFlag(appendList(appendInt(appendList(b, c.IDs, appendInt), c.Start), c.Gaps, appendGap), c.Truncated)
	}
	return b
}

func appendInt[T int | int32](b []byte, v T) []byte { return binary.AppendUvarint(b, uint64(v)) }

func appendGap(b []byte, gap [2]int) []byte { return appendInt(appendInt(b, gap[0]), gap[1]) }

func appendPlace(b []byte, v int) []byte { return appendInt(b, v+1) }

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func appendFlag(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendList[T any](b []byte, list []T, add func([]byte, T) []byte) []byte {
	if list == nil {
		return append(b, 0)
	}
	b = appendInt(b, len(list)+1)
	for _, v := range list {
		b = add(b, v)
	}
	return b
}

// decoder reads an entry; after its first error it gives zeros.
type decoder struct {
	r    *bufio.Reader
	most uint64 // of the items of any list: each takes a byte at least
	err  error
}

// decode reads what encode wrote. Whatever the bytes are, it ends in rows that can be trained on, or an error.
func (e entry) decode(r *bufio.Reader, size int64) (*Rows, error) {
	d := &decoder{r: r, most: uint64(size)}
	if string(d.bytes(len(tokensMagic))) != tokensMagic || [len(e.sum)]byte(d.bytes(len(e.sum))) != e.sum {
		return nil, errDamaged
	}
	rows := &Rows{}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		x := d.example(e.files)
		if d.err == nil && !sound(x, e.vocabulary) {
			d.err = errDamaged
		}
		rows.Examples = append(rows.Examples, x)
	}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		rows.Dropped = append(rows.Dropped, Drop{d.file(e.files), int64(d.uint()), string(d.bytes(d.count()))})
	}
	rows.Truncated, rows.Border = d.int(), d.int()
	if _, err := r.ReadByte(); d.err == nil && err != io.EOF || len(rows.Examples) == 0 {
		d.err = errDamaged
	}
	return rows, d.err
}

// sound reports whether an example is one that encodeGroup could have let pass.
func sound(x datasets.Example, vocabulary int) bool {
	unsound := func(c datasets.Completion) bool { return !c.Sound() }
	return len(x.Completions) > 0 && !slices.ContainsFunc(x.Completions, unsound) && x.CheckIDs(vocabulary) == nil && scoredTokens(x) > 0 &&
		fits(x.Ref, x) && fits(x.Order, x) && fits(x.Places, x)
}

// fits reports whether a list has an item for each completion, where there is one.
func fits[T any](list []T, x datasets.Example) bool {
	return list == nil || len(list) == len(x.Completions)
}

func (d *decoder) example(files []string) (x datasets.Example) {
	x.File, x.Row = d.file(files), int64(d.uint())
	x.Truncated, x.BorderTokens, x.Margin, x.HasMargin, x.Dissent = d.flag(), d.int(), d.float(), d.flag(), d.float()
	x.Label = datasets.Label(d.atMost(uint64(datasets.Worded)))
	x.Notes = datasets.Notes(d.atMost(math.MaxUint8))
	x.Prompt, x.Ref, x.Order, x.Places = decodeList(d, d.id), decodeList(d, d.float), decodeList(d, d.int), decodeList(d, d.place)
	for n := d.count(); n > 0 && d.err == nil; n-- {
		x.Completions = append(x.Completions, datasets.Completion{IDs: decodeList(d, d.id), Start: d.int(), Gaps: decodeList(d, d.gap), Truncated: d.flag()})
	}
	return x
}

func (d *decoder) file(files []string) string {
	i := d.uint()
	if i >= uint64(len(files)) {
		d.fail()
		return ""
	}
	return files[i]
}

func (d *decoder) fail() { d.err = errors.Join(d.err, errDamaged) }

func (d *decoder) uint() uint64 {
	if d.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(d.r)
	d.err = err
	return v
}

// atMost reads a number, which is damage where it is over a limit.
func (d *decoder) atMost(limit uint64) uint64 {
	v := d.uint()
	if v > limit {
		d.fail()
		return 0
	}
	return v
}

func (d *decoder) int() int    { return int(d.atMost(math.MaxInt32)) }
func (d *decoder) id() int32   { return int32(d.atMost(math.MaxInt32)) }
func (d *decoder) count() int  { return int(d.atMost(d.most)) }
func (d *decoder) place() int  { return d.int() - 1 }
func (d *decoder) gap() [2]int { return [2]int{d.int(), d.int()} }
func (d *decoder) flag() bool  { return d.atMost(1) == 1 }

func (d *decoder) float() float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(d.bytes(8)))
}

// bytes gives n bytes, whether they are there or not.
func (d *decoder) bytes(n int) []byte {
	b := make([]byte, n)
	if d.err == nil {
		_, d.err = io.ReadFull(d.r, b)
	}
	return b
}

func decodeList[T any](d *decoder, item func() T) []T {
	n := d.atMost(d.most)
	if n == 0 || d.err != nil {
		return nil
	}
	list := make([]T, 0, min(n-1, 1<<12))
	for ; n > 1 && d.err == nil; n-- {
		list = append(list, item())
	}
	return slices.Clip(list)
}
