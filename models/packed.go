package models

import (
	"math"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Weights of few bits, as ONNX Runtime's MatMulNBits and GatherBlockQuantized read them: a row is cut into blocks of 32, each of which
// has a scale. A number is scale·(q − 2^(bits−1)), q unsigned; the entry of a block that is largest in magnitude becomes −2^(bits−1), so
// it is kept exactly, and no range is lost to the number of levels being even.
const packedBlock = 32

// packed is a matrix [out,in] of few bits.
type packed struct {
	weight  *onnx.Value // [out,blocks,bytes]
	scales  *onnx.Value // [out,blocks]
	bits    int64
	out, in int64
}

// packedProduct is x·wᵀ + plus. Level 4 lets the CPU round x, too, to 8 bits block by block, as ONNX Runtime GenAI's builder does: without, it
// unpacks w at each run.
func (n *net) packedProduct(x *onnx.Value, p *packed, plus *onnx.Value) *onnx.Value {
	y := n.Node(&onnx.Node{Op: "MatMulNBits", Domain: onnx.Microsoft, Inputs: n.of(x, p.weight, p.scales),
		Attrs: onnx.Attrs{"K": p.in, "N": p.out, "bits": p.bits, "block_size": packedBlock, "accuracy_level": 4}}, 1)[0]
	if plus != nil {
		y = n.add(y, plus)
	}
	return y
}

// rows are those of a table [rows,columns] at ids [T]: [T,columns].
func (n *net) rows(table, ids *onnx.Value) *onnx.Value {
	p := n.packed[table]
	if p == nil {
		return n.Op("Gather", n.of(table, ids), nil)
	}
	bytes := n.reshape(p.weight, p.out, -1)
	y := n.Node(&onnx.Node{Op: "GatherBlockQuantized", Domain: onnx.Microsoft, Inputs: n.of(bytes, ids, p.scales),
		Attrs: onnx.Attrs{"gather_axis": 0, "quantize_axis": 1, "bits": p.bits, "block_size": packedBlock}}, 1)[0]
	if p.in%packedBlock != 0 {
		y = n.Op("Slice", n.of(y, n.Ints(0), n.Ints(p.in), n.Ints(1)), nil)
	}
	return y
}

// packedBlocks is how many blocks a row of so many columns has.
func packedBlocks(columns int64) int64 { return (columns + packedBlock - 1) / packedBlock }

// pack rounds a matrix to few bits, row by row on all cores: [rows·blocks·32·bits/8] bytes and [rows·blocks] scales.
func pack(w []float32, columns int, bits int64) (bytes []byte, scales []float32) {
	rows, blocks := len(w)/columns, int(packedBlocks(int64(columns)))
	size := packedBlock * int(bits) / 8
	bytes, scales = make([]byte, rows*blocks*size), make([]float32, rows*blocks)
	inParallel(rows, func(r int) {
		row := w[r*columns : (r+1)*columns]
		for b := range blocks {
			at := r*blocks + b
			scales[at] = packBlock(row[b*packedBlock:min((b+1)*packedBlock, columns)], bits, bytes[at*size:(at+1)*size])
		}
	})
	return bytes, scales
}

// packBlock packs up to 32 numbers, the rest as zeros, and gives their scale.
func packBlock(x []float32, bits int64, into []byte) (scale float32) {
	most := float32(0)
	for _, v := range x {
		if math.Abs(float64(v)) > math.Abs(float64(most)) {
			most = v
		}
	}
	half := int64(1) << (bits - 1)
	scale = most / float32(-half)
	for i := range packedBlock {
		q := half
		if i < len(x) && scale != 0 {
			q += int64(math.RoundToEven(float64(x[i]) / float64(scale)))
		}
		q = min(max(q, 0), 2*half-1)
		if bits == 4 {
			into[i/2] |= byte(q << (4 * (i % 2)))
		} else {
			into[i] = byte(q)
		}
	}
	return scale
}
