package ort

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// LibraryVariable names the environment variable that says which library file to load, before all places where one is
// looked for.
const LibraryVariable = "DPO_ORT_LIB"

// chosen is what SetLibrary was given.
var chosen string

// SetLibrary says which library file to load, whatever the environment says. It must be called before anything else here.
func SetLibrary(path string) { chosen = path }

// givenLibrary is the library that was named: the one chosen, else the variable's.
func givenLibrary() string { return cmp.Or(chosen, os.Getenv(LibraryVariable)) }

// findLibrary gives the path of the library: the one given, else, where a CUDA device was asked for, one with CUDA, else the newest
// version in the first folder that has any.
func findLibrary(folders []string, cuda bool) (string, error) {
	if path := givenLibrary(); path != "" {
		if info, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("find ONNX Runtime as given: %w", err)
		} else if info.IsDir() {
			return "", fmt.Errorf("find ONNX Runtime as given: %s is a folder: name the library's file in it", path)
		}
		return filepath.Abs(path)
	}
	if cuda {
		if path := cudaLibrary(folders); path != "" {
			return path, nil
		}
	}
	for _, folder := range folders {
		if path := newestLibrary(folder); path != "" {
			return path, nil
		}
	}
	return "", fmt.Errorf("find ONNX Runtime: no %s in %s: run `make deps`, or set %s to the library's file",
		libraryNames[runtime.GOOS], strings.Join(folders, ", "), LibraryVariable)
}

// cudaLibrary gives the newest library in the first folder, or the folder cuda in it, that has the CUDA provider beside it; "" if none has.
func cudaLibrary(folders []string) string {
	for _, folder := range folders {
		for _, folder := range []string{filepath.Join(folder, "cuda"), folder} {
			if _, err := os.Stat(filepath.Join(folder, providerName())); err != nil {
				continue
			}
			if path := newestLibrary(folder); path != "" {
				return path
			}
		}
	}
	return ""
}

// libraryFolders are where a library is looked for: beside the program, in its installation, in the tree that it was
// built in (bin beside build), in the source tree, so that `go test` and `go run` need no setting, and where systems keep
// theirs.
func libraryFolders() []string {
	var folders []string
	if program, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(program); err == nil {
			program = real
		}
		above := filepath.Dir(filepath.Dir(program))
		folders = append(folders, filepath.Dir(program), filepath.Join(above, "lib"), filepath.Join(above, "build", "lib"))
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		folders = append(folders, filepath.Join(filepath.Dir(file), "..", "..", "build", "lib"))
	}
	return append(folders, systemFolders[runtime.GOOS+"/"+runtime.GOARCH]...)
}

var systemFolders = map[string][]string{
	"linux/amd64":  {"/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"},
	"linux/arm64":  {"/usr/local/lib", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"},
	"darwin/arm64": {"/opt/homebrew/lib", "/usr/local/lib"},
}

var libraryNames = map[string]string{
	"linux": "libonnxruntime.so*", "darwin": "libonnxruntime*.dylib", "windows": "onnxruntime.dll",
}

// versioned accepts the library itself, and none of its companions, such as libonnxruntime_providers_shared.so.
var versioned = regexp.MustCompile(`^(?:lib)?onnxruntime(?:\.so|\.dylib|\.dll)?((?:\.\d+)*)(?:\.dylib)?$`)

// newestLibrary gives the library of the highest version in a folder; one without a version in its name comes first,
// as it is a link to what the system prefers. It is "" where there is none.
func newestLibrary(folder string) string {
	paths, err := filepath.Glob(filepath.Join(folder, libraryNames[runtime.GOOS]))
	if err != nil {
		return "" // a folder with a bracket in its name: Glob takes it for a pattern
	}
	paths = slices.DeleteFunc(paths, func(p string) bool {
		info, err := os.Stat(p)
		return err != nil || info.IsDir() || !versioned.MatchString(filepath.Base(p))
	})
	if len(paths) == 0 {
		return ""
	}
	return slices.MaxFunc(paths, func(a, b string) int { return compareVersions(version(a), version(b)) })
}

func version(path string) []int {
	var v []int
	for part := range strings.SplitSeq(versioned.FindStringSubmatch(filepath.Base(path))[1], ".") {
		if n, err := strconv.Atoi(part); err == nil {
			v = append(v, n)
		}
	}
	return v
}

func compareVersions(a, b []int) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(b), len(a))
	}
	return slices.Compare(a, b)
}
