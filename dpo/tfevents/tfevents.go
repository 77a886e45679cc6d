// Package tfevents writes scalars in the format of TensorBoard's event files.
//
//	w, err := tfevents.Open("run/events.out.tfevents.run", 0)
//	err = w.Write(1, map[string]float64{"loss": 0.69, "rewards/margins": 0})
//	err = w.Close()
//
// A file is a list of records (tensorflow/core/lib/io/record_writer.h), little-endian:
//
//	length   uint64
//	crc      uint32  masked CRC-32C of the eight bytes of length
//	data     length bytes, an Event
//	crc      uint32  masked CRC-32C of data
//
// The first Event names the format; each that follows is one step with all its scalars (event.proto, summary.proto):
//
//	Event    1: wall_time double   2: step int64   3: file_version string   5: summary, as follows
//	Summary  1: value, repeated    each 1: tag string   2: simple_value float
//
// # Caveats
//
// Values are float32, as the format has them. wall_time is the clock's when a step is written, so that TensorBoard's axes
// of time are right: two runs with the same numbers have files of the same length that differ in these eight bytes an event.
package tfevents

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// version is what the first event of a file says.
const version = "brain.Event:2"

// The fields of the messages that are written.
const (
	eventWallTime, eventStep, eventVersion, eventSummary = 1, 2, 3, 5
	summaryValue                                         = 1
	valueTag, valueSimple                                = 1, 2
)

// Writer appends events to a file.
type Writer struct {
	file *safefile.Appended
	now  func() time.Time
}

// Open goes on with the file at path after its first length bytes, which some [Writer.Length] gave, and drops the rest; 0
// begins it anew. TensorBoard takes files for event files whose name holds "tfevents".
func Open(path string, length int64) (*Writer, error) { return open(path, length, time.Now) }

func open(path string, length int64, now func() time.Time) (*Writer, error) {
	f, err := safefile.Append(path, length)
	if err != nil {
		return nil, err
	}
	w := &Writer{f, now}
	if f.Len() == 0 {
		err = w.write(event(now(), 0, protowire.AppendString(protowire.AppendTag(nil, eventVersion, protowire.BytesType), version)))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("begin event file %s: %w", path, err)
	}
	return w, nil
}

// Write adds an event with the scalars of a step, sorted by name.
func (w *Writer) Write(step int64, scalars map[string]float64) error {
	var summary []byte
	for _, tag := range slices.Sorted(maps.Keys(scalars)) {
		value := protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), tag)
		value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(float32(scalars[tag])))
		summary = protowire.AppendBytes(protowire.AppendTag(summary, summaryValue, protowire.BytesType), value)
	}
	return w.write(event(w.now(), step, protowire.AppendBytes(protowire.AppendTag(nil, eventSummary, protowire.BytesType), summary)))
}

// event is an Event of what, a field of its own. A step of 0 is left out, as protobuf leaves out zeros.
func event(at time.Time, step int64, what []byte) []byte {
	b := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(float64(at.UnixMicro())/1e6))
	if step != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, eventStep, protowire.VarintType), uint64(step))
	}
	return append(b, what...)
}

// write writes a record at once, so that a reader finds whole ones.
func (w *Writer) write(data []byte) error {
	record := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	record = binary.LittleEndian.AppendUint32(record, masked(record))
	record = append(record, data...)
	_, err := w.file.Write(binary.LittleEndian.AppendUint32(record, masked(data)))
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the CRC-32C of data, turned by 15 bits and moved, so that a CRC of data that holds CRCs is of use
// (tensorflow/core/lib/hash/crc32c.h).
func masked(data []byte) uint32 {
	sum := crc32.Checksum(data, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// Length is where the next event starts, in bytes, once all before it is on the disk.
func (w *Writer) Length() (int64, error) {
	return w.file.Sync()
}

// Close closes the file.
func (w *Writer) Close() error { return w.file.Close() }
