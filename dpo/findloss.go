package dpo

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/internal/wording"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// FindLoss finds a loss by its name, makes a mixture of several, or reads the file of one's own (NAME.onnx), under an f-divergence ("" for the
// reverse KL). A file is refused here if it is not as [loss.FromFile] has it, or has no gradient.
func FindLoss(name, divergence string) (l *loss.Loss, err error) {
	if loss.IsFile(name) {
		l, err = readLoss(name)
	} else {
		l, err = loss.Lookup(name)
	}
	if err != nil || divergence == "" {
		return l, err
	}
	return l.Under(divergence)
}

// largestLoss is the size of a loss's file that is read at most.
const largestLoss = 64 << 20

func readLoss(path string) (*loss.Loss, error) {
	data, err := safefile.Read(path, largestLoss)
	if err != nil {
		return nil, fmt.Errorf("loss: %w", err)
	}
	return lossFromBytes(filepath.Base(path), data)
}

// lossFromBytes makes a loss of a file's bytes, and makes sure that it has a gradient.
func lossFromBytes(name string, data []byte) (*loss.Loss, error) {
	l, err := loss.FromFile(name, data)
	if err != nil {
		return nil, err
	}
	if _, err := lossWithGradient(l, onnx.Float64); err != nil {
		return nil, fmt.Errorf("loss %s: %w", l.Name, err)
	}
	return l, nil
}

// resolveLoss finds the loss that the settings name.
func (c Config) resolveLoss() (*loss.Loss, error) { return FindLoss(c.Loss, c.FDivergence) }

// checkLoss reports by err, which kept loss l from being found, a loss that there is none of under the objective, settings that it does not have, and such as are out of their range.
func (c Config) checkLoss(l *loss.Loss, err error) (wrong []string) {
	o := c.aim()
	var unknown *loss.UnknownError
	switch {
	case o.losses != nil:
		if err := OneOf("loss", c.Loss, o.losses); err != nil {
			return []string{err.Error()}
		}
	case errors.As(err, &unknown) && unknown.Name == c.Loss:
		return []string{OneOf("loss", c.Loss, loss.Comparing()).Error()}
	case errors.As(err, &unknown):
		return []string{err.Error() + wording.Suggest("", unknown.Name, loss.Comparing())}
	case err == nil && l.Alone:
		return []string{fmt.Sprintf("loss %s compares no answers: dpo-ort sft trains by it", c.Loss)}
	}
	if err != nil {
		return []string{err.Error()}
	}
	wrong = append(wrong, c.checkSmoothing(l)...)
	if _, err := l.Resolve(c.LossSettings); err != nil {
		wrong = append(wrong, "loss-settings: "+err.Error())
	}
	switch {
	case o.alone && c.ReferenceFree:
		wrong = append(wrong, o.verb+" has no reference: leave out reference-free")
	case l.Unpaired && c.ReferenceFree:
		wrong = append(wrong, fmt.Sprintf("loss %s measures how far the policy has moved from a reference: leave out reference-free", l.Name))
	case !o.alone && c.Ref != "" && l.Free:
		wrong = append(wrong, fmt.Sprintf("loss %s has no reference: leave out ref", l.Name))
	case !o.alone && c.Ref != "" && c.ReferenceFree:
		wrong = append(wrong, "reference-free has no reference: leave out ref")
	}
	return wrong
}

// checkSmoothing reports label smoothing that the loss has no place for, or needs.
func (c Config) checkSmoothing(l *loss.Loss) (wrong []string) {
	const name = "label_smoothing"
	taken := false
	for _, s := range l.Settings {
		if s.Name != name {
			continue
		}
		if taken = true; c.LabelSmoothing == 0 && !s.Range.Has(0) {
			wrong = append(wrong, fmt.Sprintf("loss %s needs label-smoothing %s: its paper has %s", l.Name, s.Takes(), s.Default))
		}
	}
	if !taken && c.LabelSmoothing != 0 {
		wrong = append(wrong, fmt.Sprintf("label-smoothing is a setting of %s, not of %s: leave it out (it is %v)", wording.And(loss.Taking(name)), l.Name, c.LabelSmoothing))
	}
	return wrong
}
