package loss

import "github.com/dpo-ort/dpo-ort/internal/settings"

// Settings that have flags of their own.
var (
	beta           = settings.Setting{Name: "beta", Default: "0.1", Range: settings.Above(0), About: "strength of the tie to the reference", Flag: "beta"}
	labelSmoothing = settings.Setting{Name: "label_smoothing", Default: "0", Range: settings.AtLeast(0).Below(0.5), About: "share of labels taken to be wrong", Flag: "label-smoothing"}
)

// Resolve completes the settings that are given by name with their defaults: the values of the graph's inputs of these names. An error names all
// that are unknown, of other losses, or out of range.
func (l *Loss) Resolve(given settings.Values) (map[string]float64, error) {
	r, err := settings.Owner{Name: l.Name, Settings: l.Settings, Peers: peers()}.Resolve(given)
	return r.Numbers(), err
}

// Taking lists the losses that have a setting, sorted.
func Taking(setting string) []string { return settings.Having(setting, peers()) }

// peers are the settings of all losses.
func peers() map[string][]settings.Setting {
	return settings.Peers(registry, func(l *Loss) []settings.Setting { return l.Settings })
}
