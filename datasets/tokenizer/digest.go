package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Digests are the SHA-256 of tokenizer.json with the id of the EOS token, and of the model's chat template; "" where it has
// none. Equal digests give equal token ids.
func (t *Tokenizer) Digests() (text, template string) { return t.digests.text, t.digests.template }

// digest reads the files of a model directory; data is tokenizer.json.
func (t *Tokenizer) digest(dir string, data []byte) error {
	h := sha256.New()
	fmt.Fprintf(h, "eos %d\n", t.eos)
	h.Write(data)
	t.digests.text = hex.EncodeToString(h.Sum(nil))
	var err error
	if t.template, err = findTemplate(dir); err != nil || t.template == nil {
		return err
	}
	sum := sha256.Sum256(t.template)
	t.digests.template = hex.EncodeToString(sum[:])
	return nil
}
