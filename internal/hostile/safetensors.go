package hostile

import (
	"encoding/binary"
	"fmt"
	"strings"
)

func init() {
	register("safetensors", safetensorsCases)
	register("safetensors-index", indexCases)
}

// tensorFile is a file of a header and n bytes.
func tensorFile(header string, n int) []byte {
	data := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	data = append(data, header...)
	return append(data, make([]byte, n)...)
}

// entry is a tensor in a header.
func entry(name, dtype, shape string, begin, end any) string {
	return fmt.Sprintf(`%q:{"dtype":%q,"shape":%s,"data_offsets":[%v,%v]}`, name, dtype, shape, begin, end)
}

func safetensorsCases() []Case {
	l := list{file: "model.safetensors"}
	header := func(name string, n int, entries ...string) {
		l.add(name, tensorFile("{"+strings.Join(entries, ",")+"}", n))
	}
	a := entry("a", "F32", "[2]", 0, 8)
	whole := tensorFile("{"+a+","+entry("b", "F32", "[2]", 8, 16)+"}", 16)

	l.cuts(whole, 0, 1, 4, 7, 8, 9, 40, 60, -17, -16, -9, -1)
	l.add("a byte too much", append(append([]byte{}, whole...), 0))
	l.add("header length of 2 to the 63", append([]byte{0, 0, 0, 0, 0, 0, 0, 0x80}, whole[8:]...))
	l.add("header length of all ones", append([]byte{255, 255, 255, 255, 255, 255, 255, 255}, whole[8:]...))
	l.add("header length just below 2 to the 63", append([]byte{255, 255, 255, 255, 255, 255, 255, 0x7f}, whole[8:]...))
	l.add("header length just over what is allowed", append(binary.LittleEndian.AppendUint64(nil, 100_000_001), whole[8:]...))
	l.add("header length one more than the file", append(binary.LittleEndian.AppendUint64(nil, uint64(len(whole)-7)), whole[8:]...))
	l.add("header length of zero", append(make([]byte, 8), whole[8:]...))
	l.add("header length one short", append(binary.LittleEndian.AppendUint64(nil, uint64(len(whole)-16-8-1)), whole[8:]...))
	l.add("header is no UTF-8", tensorFile("{\"a\xff\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8))
	l.add("header begins with a space", tensorFile(" {"+a+"}", 8))
	l.add("header is a list", tensorFile("["+a+"]", 8))
	l.add("header is null", tensorFile("null", 0))
	l.add("header is text of HTML", []byte("<!DOCTYPE html><html><body>404 Not Found</body></html>"))
	l.add("a pointer of Git LFS", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"))
	l.add("header goes on after its end", tensorFile("{"+a+"}{}", 8))
	l.add("header with a comma too much", tensorFile("{"+a+",}", 8))
	l.add("header with a NUL behind it", tensorFile("{"+a+"}\x00", 8))
	l.add("header nests ten thousand deep", tensorFile(`{"a":`+deep("[", "", "]", 10_000)+`}`, 0))
	l.add("header nests objects deep in metadata", tensorFile(`{"__metadata__":`+deep(`{"a":`, "1", "}", 5000)+`}`, 0))

	header("duplicate tensor", 8, a, a)
	header("duplicate tensor by another spelling", 8, a, strings.Replace(a, `"a"`, `"\u0061"`, 1))
	header("duplicate metadata", 8, `"__metadata__":{}`, `"__metadata__":{}`, a)
	header("duplicate key in metadata", 8, `"__metadata__":{"k":"1","k":"2"}`, a)
	header("duplicate dtype", 8, `"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}`)
	header("duplicate offsets", 8, `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"data_offsets":[0,8]}`)
	header("unknown field", 8, `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"strides":[1]}`)
	header("no dtype", 8, `"a":{"shape":[2],"data_offsets":[0,8]}`)
	header("no shape", 8, `"a":{"dtype":"F32","data_offsets":[0,8]}`)
	header("no offsets", 8, `"a":{"dtype":"F32","shape":[2]}`)
	header("nothing of a tensor", 8, `"a":{}`)
	header("dtype is a number", 8, `"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}`)
	header("dtype is null", 8, `"a":{"dtype":null,"shape":[2],"data_offsets":[0,8]}`)
	header("dtype is unknown", 8, entry("a", "F33", "[2]", 0, 8))
	header("dtype in small letters", 8, entry("a", "f32", "[2]", 0, 8))
	header("dtype is empty", 8, entry("a", "", "[2]", 0, 8))
	header("shape is a number", 8, entry("a", "F32", "2", 0, 8))
	header("shape is an object", 8, entry("a", "F32", "{}", 0, 8))
	header("shape is null", 8, entry("a", "F32", "null", 0, 8))
	header("shape holds text", 8, entry("a", "F32", `["2"]`, 0, 8))
	header("shape holds a fraction", 8, entry("a", "F32", "[2.5]", 0, 8))
	header("shape holds an exponent", 8, entry("a", "F32", "[2e0]", 0, 8))
	header("shape holds a negative number", 8, entry("a", "F32", "[-2]", 0, 8))
	header("shape holds two negative numbers", 8, entry("a", "F32", "[-1,-2]", 0, 8))
	header("shape holds null", 8, entry("a", "F32", "[null]", 0, 8))
	header("shape holds a list", 8, entry("a", "F32", "[[2]]", 0, 8))
	header("shape of 2 to the 63", 8, entry("a", "F32", "[9223372036854775808]", 0, 8))
	header("shape of 2 to the 64 and 2", 8, entry("a", "F32", "[18446744073709551618]", 0, 8))
	header("shape whose product wraps to what is there", 8, entry("a", "F32", "[4294967296,4294967296,2]", 0, 8))
	header("shape whose bytes wrap", 8, entry("a", "F32", "[4611686018427387906]", 0, 8))
	header("shape that overflows before a zero", 0, entry("a", "F32", "[9223372036854775807,9223372036854775807,0]", 0, 0))
	header("shape is smaller than its bytes", 8, entry("a", "F32", "[1]", 0, 8))
	header("shape is larger than its bytes", 8, entry("a", "F32", "[3]", 0, 8))
	header("half bytes", 1, entry("a", "F4", "[1]", 0, 1))
	header("scalar of eight bytes", 8, entry("a", "F32", "[]", 0, 8))
	header("offsets reversed", 8, entry("a", "F32", "[2]", 8, 0))
	header("offsets are one number", 8, `"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}`)
	header("offsets are three numbers", 8, `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,16]}`)
	header("offsets are text", 8, `"a":{"dtype":"F32","shape":[2],"data_offsets":"0-8"}`)
	header("offsets hold a boolean", 8, `"a":{"dtype":"F32","shape":[2],"data_offsets":[false,8]}`)
	header("offset is negative", 8, entry("a", "F32", "[2]", -8, 0))
	header("offset is a fraction", 8, entry("a", "F32", "[2]", 0.5, 8.5))
	header("offset just below 2 to the 63", 8, entry("a", "F32", "[2]", "9223372036854775799", "9223372036854775807"))
	header("offset of 2 to the 63", 8, entry("a", "F32", "[2]", 0, "9223372036854775808"))
	header("offset of 2 to the 64", 8, entry("a", "F32", "[2]", 0, "18446744073709551624"))
	header("tensors overlap", 12, a, entry("b", "F32", "[2]", 4, 12))
	header("tensors lie on each other", 8, a, entry("b", "F32", "[2]", 0, 8))
	header("tensor lies within another", 16, entry("a", "F32", "[4]", 0, 16), entry("b", "F32", "[1]", 4, 8))
	header("hole at the beginning", 16, entry("a", "F32", "[2]", 8, 16))
	header("hole between tensors", 20, a, entry("b", "F32", "[2]", 12, 20))
	header("bytes after the last tensor", 12, a)
	header("bytes and no tensor", 8)
	header("tensor ends behind the file", 4, a)
	header("tensor is a list", 8, `"a":["F32",[2],[0,8]]`)
	header("tensor is null", 8, `"a":null`)
	header("metadata is a list", 8, `"__metadata__":["pt"]`, a)
	header("metadata holds a number", 8, `"__metadata__":{"format":1}`, a)
	header("metadata holds an object", 8, `"__metadata__":{"format":{"a":"b"}}`, a)
	header("metadata is null", 8, `"__metadata__":null`, a)
	return l.cases
}

func indexCases() []Case {
	shard := func(name string) []byte { return tensorFile("{"+entry(name, "F32", "[2]", 0, 8)+"}", 8) }
	l := list{file: "model.safetensors.index.json", beside: map[string][]byte{"1.safetensors": shard("a"), "2.safetensors": shard("b")}}
	whole := `{"metadata":{"total_size":16},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`
	l.cuts([]byte(whole), 0, 1, 20, 45, -2, -1)
	for _, c := range [][2]string{
		{"no JSON", "weights"},
		{"a list", `[]`},
		{"null", `null`},
		{"an empty object", `{}`},
		{"weight_map is null", `{"weight_map":null}`},
		{"weight_map is empty", `{"weight_map":{}}`},
		{"weight_map is a list", `{"weight_map":["1.safetensors"]}`},
		{"weight_map holds a number", `{"weight_map":{"a":1}}`},
		{"weight_map holds null", `{"weight_map":{"a":null,"b":"2.safetensors"}}`},
		{"weight_map in capitals", `{"WEIGHT_MAP":{"a":"1.safetensors","b":"2.safetensors"}}`},
		{"metadata is a list", `{"metadata":[1],"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`},
		{"two weight_maps", `{"weight_map":{"a":"1.safetensors"},"weight_map":{"b":"2.safetensors"}}`},
		{"a tensor twice, in two files", `{"weight_map":{"a":"1.safetensors","a":"2.safetensors","b":"2.safetensors"}}`},
		{"a tensor in the wrong file", `{"weight_map":{"a":"2.safetensors","b":"2.safetensors"}}`},
		{"a tensor in no file", `{"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}}`},
		{"a file that is not there", `{"weight_map":{"a":"1.safetensors","b":"3.safetensors"}}`},
		{"a file above the folder", `{"weight_map":{"a":"../1.safetensors"}}`},
		{"a file above, and below again", `{"weight_map":{"a":"x/../../1.safetensors"}}`},
		{"an absolute path", `{"weight_map":{"a":"/etc/passwd"}}`},
		{"a path of Windows", `{"weight_map":{"a":"..\\1.safetensors"}}`},
		{"a path of nothing", `{"weight_map":{"a":""}}`},
		{"the folder itself", `{"weight_map":{"a":"."}}`},
		{"a path with a NUL", `{"weight_map":{"a":"1.safetensors\u0000"}}`},
		{"the index as a file of weights", `{"weight_map":{"a":"model.safetensors.index.json"}}`},
		{"no UTF-8", "{\"weight_map\":{\"a\xff\":\"1.safetensors\"}}"},
		{"half a character", `{"weight_map":{"a\ud83d":"1.safetensors"}}`},
		{"more after the end", whole + "{}"},
		{"values nest deep", `{"metadata":` + deep("[", "", "]", 20_000) + `}`},
	} {
		l.text(c[0], c[1])
	}
	l.with("two files hold a tensor", []byte(whole), map[string][]byte{"2.safetensors": tensorFile("{"+entry("a", "F32", "[2]", 0, 8)+","+entry("b", "F32", "[2]", 8, 16)+"}", 16)})
	l.with("a file is cut", []byte(whole), map[string][]byte{"2.safetensors": shard("b")[:20]})
	l.with("a file is empty", []byte(whole), map[string][]byte{"2.safetensors": nil})
	l.cases = append(l.cases, Case{Name: "a file is a link to outside", Files: map[string][]byte{l.file: []byte(`{"weight_map":{"a":"1.safetensors"}}`)},
		Links: map[string]string{"1.safetensors": "/dev/zero"}})
	return l.cases
}
