package main

// The parts of CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json) that are written. There is no serial number and no time, so that the same
// program has the same bill.
type (
	document struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []part       `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Component part `json:"component"`
	}
	part struct {
		Type     string    `json:"type"`
		Ref      string    `json:"bom-ref"`
		Name     string    `json:"name"`
		Version  string    `json:"version"`
		Hashes   []hash    `json:"hashes,omitempty"`
		Licences []licence `json:"licenses"`
		PURL     string    `json:"purl,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	licence struct {
		Expression string `json:"expression"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// bill is the program's.
func bill(version, digest string, all []component) document {
	const self = "dpo-ort"
	d := document{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: metadata{part{Type: "application", Ref: self, Name: self, Version: version,
		Hashes: sha(digest), Licences: []licence{{"Apache-2.0"}}}}}
	of := dependency{Ref: self}
	for _, c := range all {
		d.Components = append(d.Components, part{Type: "library", Ref: c.purl, Name: c.name, Version: c.version, Hashes: sha(c.sha256), Licences: []licence{{c.licence}}, PURL: c.purl})
		of.DependsOn = append(of.DependsOn, c.purl)
	}
	d.Dependencies = []dependency{of}
	return d
}

func sha(digest string) []hash {
	if digest == "" {
		return nil
	}
	return []hash{{"SHA-256", digest}}
}
