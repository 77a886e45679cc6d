package datasets

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// logical is the logical type of a column, nil if it has none.
func logical(t parquet.Type) format.LogicalTypeValue {
	if l := t.LogicalType(); l != nil {
		return l.Value
	}
	return nil
}

// decoderOf returns how the values of a type are read for a record, which knows one type of number.
func decoderOf(t parquet.Type) func(parquet.Value) (any, error) {
	switch l := logical(t).(type) {
	case *format.IntType:
		if !l.IsSigned {
			return asNumber(exactOf(t))
		}
	case *format.DecimalType:
		return asNumber(exactOf(t))
	case *format.JsonType:
		return func(v parquet.Value) (any, error) { return jsonValue(v), nil }
	case *format.Float16Type:
		return func(v parquet.Value) (any, error) { return half(binary.LittleEndian.Uint16(v.ByteArray())), nil }
	}
	return func(v parquet.Value) (any, error) { return plain(v), nil }
}

// asNumber reads exact numbers as float64.
func asNumber(exact func(parquet.Value) (any, error)) func(parquet.Value) (any, error) {
	return func(v parquet.Value) (any, error) {
		text, err := exact(v)
		if err != nil {
			return nil, err
		}
		return strconv.ParseFloat(string(text.(json.RawMessage)), 64)
	}
}

// plain returns a value as record has it.
func plain(v parquet.Value) any {
	switch v.Kind() {
	case parquet.Boolean:
		return v.Boolean()
	case parquet.Int32:
		return float64(v.Int32())
	case parquet.Int64:
		return float64(v.Int64())
	case parquet.Float:
		return float64(v.Float())
	case parquet.Double:
		return v.Double()
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return string(v.ByteArray())
	}
	if v.IsNull() {
		return nil
	}
	return v.String()
}

var errNotText = errors.New("it holds text that is not valid UTF-8, which JSON cannot hold: convert to Parquet, or mend the text")

// exactOf returns how the values of a type are written in JSON, as json.RawMessage: numbers with all their digits, those that
// count times as text, bytes that are no text in base64, and null for what JSON has no number for.
func exactOf(t parquet.Type) func(parquet.Value) (any, error) {
	write := appendPlain
	switch l := logical(t).(type) {
	case *format.StringType, *format.EnumType, *format.JsonType:
		_, isJSON := l.(*format.JsonType)
		return func(v parquet.Value) (any, error) {
			if !utf8.Valid(v.ByteArray()) {
				return nil, errNotText
			}
			if isJSON {
				return jsonValue(v), nil
			}
			return json.RawMessage(appendQuoted(nil, string(v.ByteArray()))), nil
		}
	case *format.DecimalType:
		write = func(b []byte, v parquet.Value) []byte { return appendDecimal(b, unscaled(v), int(l.Scale)) }
	case *format.DateType:
		write = func(b []byte, v parquet.Value) []byte {
			return time.Unix(int64(v.Int32())*86400, 0).UTC().AppendFormat(b, `"2006-01-02"`)
		}
	case *format.TimestampType:
		layout := `"2006-01-02T15:04:05.999999999"`
		if l.IsAdjustedToUTC {
			layout = `"2006-01-02T15:04:05.999999999Z"`
		}
		write = func(b []byte, v parquet.Value) []byte { return instant(v.Int64(), l.Unit).AppendFormat(b, layout) }
	case *format.TimeType:
		write = func(b []byte, v parquet.Value) []byte {
			n := v.Int64()
			if v.Kind() == parquet.Int32 {
				n = int64(v.Int32())
			}
			return instant(n, l.Unit).AppendFormat(b, `"15:04:05.999999999"`)
		}
	case *format.IntType:
		if !l.IsSigned {
			write = appendUnsigned
		}
	case *format.Float16Type:
		write = func(b []byte, v parquet.Value) []byte {
			return appendFloat(b, half(binary.LittleEndian.Uint16(v.ByteArray())), 32)
		}
	case *format.UUIDType:
		write = appendUUID
	}
	return func(v parquet.Value) (any, error) { return json.RawMessage(write(nil, v)), nil }
}

func appendPlain(b []byte, v parquet.Value) []byte {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.AppendBool(b, v.Boolean())
	case parquet.Int32:
		return strconv.AppendInt(b, int64(v.Int32()), 10)
	case parquet.Int64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case parquet.Float:
		return appendFloat(b, float64(v.Float()), 32)
	case parquet.Double:
		return appendFloat(b, v.Double(), 64)
	case parquet.Int96: // nanoseconds of the day, and the Julian day, of which 2440588 is 1970-01-01
		n := v.Int96()
		nanoseconds := int64(n[1])<<32 | int64(n[0])
		return time.Unix((int64(n[2])-2440588)*86400, nanoseconds).UTC().AppendFormat(b, `"2006-01-02T15:04:05.999999999"`)
	}
	if bytes := v.ByteArray(); !utf8.Valid(bytes) {
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), bytes), '"')
	}
	return appendQuoted(b, string(v.ByteArray()))
}

func appendUnsigned(b []byte, v parquet.Value) []byte {
	if v.Kind() == parquet.Int32 {
		return strconv.AppendUint(b, uint64(v.Uint32()), 10)
	}
	return strconv.AppendUint(b, v.Uint64(), 10)
}

// appendFloat writes a number that is read back as one that is no integer, so that its column keeps its type.
func appendFloat(b []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	text := strconv.FormatFloat(f, 'g', -1, bits)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return append(b, text...)
}

func appendUUID(b []byte, v parquet.Value) []byte {
	id := v.ByteArray()
	b = append(b, '"')
	for i, n := range []int{4, 2, 2, 2, 6} {
		if i > 0 {
			b = append(b, '-')
		}
		b, id = hex.AppendEncode(b, id[:n]), id[n:]
	}
	return append(b, '"')
}

// instant is a time counted in a unit from the beginning of 1970.
func instant(n int64, unit format.TimeUnit) time.Time {
	switch unit.Value.(type) {
	case *format.MilliSeconds:
		return time.UnixMilli(n).UTC()
	case *format.MicroSeconds:
		return time.UnixMicro(n).UTC()
	}
	return time.Unix(0, n).UTC()
}

// unscaled is the integer that a decimal holds: bytes are big endian, in two's complement.
func unscaled(v parquet.Value) *big.Int {
	switch v.Kind() {
	case parquet.Int32:
		return big.NewInt(int64(v.Int32()))
	case parquet.Int64:
		return big.NewInt(v.Int64())
	}
	bytes := v.ByteArray()
	n := new(big.Int).SetBytes(bytes)
	if len(bytes) > 0 && bytes[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(bytes))))
	}
	return n
}

func appendDecimal(b []byte, n *big.Int, scale int) []byte {
	if n.Sign() < 0 {
		b = append(b, '-')
	}
	digits := new(big.Int).Abs(n).String()
	if scale <= 0 {
		return append(append(b, digits...), strings.Repeat("0", -scale)...)
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - scale
	return append(append(append(b, digits[:point]...), '.'), digits[point:]...)
}

// half is the value of a float16 (IEEE 754 binary16).
func half(bits uint16) float64 {
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	value := math.Ldexp(1024+fraction, exponent-25)
	switch {
	case exponent == 0:
		value = math.Ldexp(fraction, -24)
	case exponent == 31 && fraction == 0:
		value = math.Inf(1)
	case exponent == 31:
		value = math.NaN()
	}
	if bits>>15 == 1 {
		return -value
	}
	return value
}
