package ort

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// lay writes files that hold no library, by paths below a folder.
func lay(t *testing.T, folder string, files ...string) {
	t.Helper()
	for _, file := range files {
		path := filepath.Join(folder, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("no library"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// build makes a shared library from C, as a stand-in for one of NVIDIA's.
func build(t *testing.T, path, source string) string {
	t.Helper()
	cc, err := exec.LookPath(cmp.Or(os.Getenv("CC"), "cc"))
	if err != nil {
		t.Skip("needs a C compiler, to make stand-ins for NVIDIA's libraries")
	}
	lay(t, filepath.Dir(path), filepath.Base(path)+".c")
	if err := os.WriteFile(path+".c", []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", path, path+".c").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// says fails where err is nil or lacks one of the parts.
func says(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("there is no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

// onLinux skips where libraries have other names.
func onLinux(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the names are those of Linux")
	}
}

const (
	testLibrary  = "libonnxruntime.so.1.31.1"
	testProvider = "libonnxruntime_providers_cuda.so"
)

// A CUDA device has the first library with the provider beside it, and the CPU, or where there is none, the first of all.
func TestFindLibraryByDevice(t *testing.T) {
	onLinux(t)
	defer SetLibrary(chosen)
	SetLibrary("")
	t.Setenv(LibraryVariable, "")
	for name, c := range map[string]struct {
		files     []string
		cpu, cuda string
	}{
		"cpu alone":            {[]string{"a/" + testLibrary}, "a/" + testLibrary, "a/" + testLibrary},
		"cuda behind the cpu":  {[]string{"a/libonnxruntime.so.1.32.0", "b/cuda/" + testLibrary, "b/cuda/" + testProvider}, "a/libonnxruntime.so.1.32.0", "b/cuda/" + testLibrary},
		"cuda beside":          {[]string{"a/" + testLibrary, "a/" + testProvider}, "a/" + testLibrary, "a/" + testLibrary},
		"folder cuda first":    {[]string{"a/" + testLibrary, "a/" + testProvider, "a/cuda/" + testLibrary, "a/cuda/" + testProvider}, "a/" + testLibrary, "a/cuda/" + testLibrary},
		"first folder first":   {[]string{"a/cuda/" + testLibrary, "a/cuda/" + testProvider, "b/" + testLibrary, "b/" + testProvider}, "b/" + testLibrary, "a/cuda/" + testLibrary},
		"cuda without library": {[]string{"a/cuda/" + testProvider, "b/" + testLibrary}, "b/" + testLibrary, "b/" + testLibrary},
		"newest": {[]string{"a/" + testLibrary, "a/cuda/libonnxruntime.so.1.9.0", "a/cuda/" + testLibrary, "a/cuda/" + testProvider},
			"a/" + testLibrary, "a/cuda/" + testLibrary},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			lay(t, root, c.files...)
			folders := []string{filepath.Join(root, "a"), filepath.Join(root, "b")}
			for cuda, want := range map[bool]string{false: c.cpu, true: c.cuda} {
				got, err := findLibrary(folders, cuda)
				if err != nil || got != filepath.Join(root, want) {
					t.Errorf("cuda %v: found %s (%v), not %s", cuda, got, err, want)
				}
			}
		})
	}
}

// What is named goes before all, and an absent file is told.
func TestFindLibraryAsGiven(t *testing.T) {
	defer SetLibrary(chosen)
	SetLibrary("")
	root := t.TempDir()
	lay(t, root, "cuda/"+testLibrary, "cuda/"+testProvider, "mine.so")
	t.Setenv(LibraryVariable, filepath.Join(root, "mine.so"))
	if got, err := findLibrary([]string{root}, true); err != nil || filepath.Base(got) != "mine.so" {
		t.Errorf("found %s (%v), not the library that is given", got, err)
	}
	t.Setenv(LibraryVariable, filepath.Join(root, "absent.so"))
	_, err := findLibrary([]string{root}, true)
	says(t, err, "as given", "absent.so")
}

func TestParsingACUDADeviceAsksForItsLibrary(t *testing.T) {
	defer cudaWanted.Store(cudaWanted.Load())
	for _, text := range []string{"cpu", "cuda:x", "cuda:0"} {
		cudaWanted.Store(false)
		_, err := ParseDevice(text)
		if want := text == "cuda:0"; cudaWanted.Load() != want || text == "cpu" && err != nil {
			t.Errorf("after %q a library with CUDA is wanted: %v (%v)", text, !want, err)
		}
	}
}

func TestWithoutCUDASaysWhatIsMissing(t *testing.T) {
	onLinux(t)
	root := t.TempDir()
	says(t, withoutCUDA("cpu/lib.so", false, []string{root}), "no "+testProvider, root, "make deps-cuda", LibraryVariable, "device cpu")
	says(t, withoutCUDA("cpu/lib.so", true, []string{root}), "cpu/lib.so, which --onnxruntime or "+LibraryVariable+" names", "no "+testProvider+" beside it")
	lay(t, root, "cuda/"+testLibrary, "cuda/"+testProvider)
	says(t, withoutCUDA("cpu/lib.so", false, []string{root}), "cpu/lib.so, without CUDA, is loaded already",
		"set "+LibraryVariable+" to "+filepath.Join(root, "cuda", testLibrary))
}

// A process that has the library of the CPU never runs elsewhere than it was told.
func TestCUDAIsNotReplacedByTheCPU(t *testing.T) {
	defer cudaWanted.Store(cudaWanted.Load())
	if err := load(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(loaded), providerName())); err == nil {
		t.Skip("ONNX Runtime's build for CUDA is in use")
	}
	cuda := Device{Kind: CUDA}
	_, err := cuda.Alloc(1)
	says(t, err, "open device cuda:0", LibraryVariable)
	_, _, err = cuda.Memory()
	says(t, err, "open device cuda:0", LibraryVariable)
	_, err = NewSession([]byte("model"), Options{Name: "none", Device: cuda})
	says(t, err, "open device cuda:0", LibraryVariable)
	parts, err := cuda.Parts()
	if err != nil || len(parts) == 0 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	last := parts[len(parts)-1]
	if last.Name != "provider" || !errors.Is(last.Err, ErrMissing) {
		t.Errorf("the last part is %+v, not the missing provider", last)
	}
}

func TestCPUHasNoParts(t *testing.T) {
	if parts, err := (Device{}).Parts(); parts != nil || err != nil {
		t.Errorf("%v, %v", parts, err)
	}
	_, _, err := Device{}.Memory()
	says(t, err, "memory of cpu: ask the operating system")
	_, err = Device{}.Model()
	says(t, err, "model of cpu: ask the operating system")
}

func TestCompanions(t *testing.T) {
	onLinux(t)
	folder := t.TempDir()
	shared := func() Part { return companion("shared", sharedName(), folder) }
	says(t, shared().Err, "missing", "no libonnxruntime_providers_shared.so in "+folder, "make deps-cuda")
	if err := os.Mkdir(filepath.Join(folder, sharedName()), 0o755); err != nil {
		t.Fatal(err)
	}
	says(t, shared().Err, "missing")
	if err := os.Remove(filepath.Join(folder, sharedName())); err != nil {
		t.Fatal(err)
	}
	lay(t, folder, sharedName())
	if p := shared(); p.Err != nil || p.Found != filepath.Join(folder, sharedName()) {
		t.Errorf("%+v", p)
	}
}

// A library comes from the first folder that has one that loads. What does not load is told where none does.
func TestNVIDIALibraries(t *testing.T) {
	onLinux(t)
	root := t.TempDir()
	folders := []string{filepath.Join(root, "a"), filepath.Join(root, "b")}
	none := nvidiaLibrary("libcudpo.so.13", folders)
	if !errors.Is(none.Err, ErrMissing) || none.Name != "cudpo" || none.Found != "" {
		t.Errorf("%+v", none)
	}
	says(t, none.Err, "make deps-cuda", "CUDA 13's libcudpo.so.13")
	says(t, nvidiaLibrary("libcudnn_dpo.so.9", folders).Err, "cuDNN 9's libcudnn_dpo.so.9")

	lay(t, root, "a/libcudpo.so.13")
	broken := nvidiaLibrary("libcudpo.so.13", folders)
	if errors.Is(broken.Err, ErrMissing) {
		t.Error("a broken library is said to be missing")
	}
	says(t, broken.Err, "cannot be loaded", filepath.Join(root, "a", "libcudpo.so.13"), "make deps-cuda")

	good := build(t, filepath.Join(root, "b", "libcudpo.so.13"), "int b;")
	if p := nvidiaLibrary("libcudpo.so.13", folders); p.Err != nil || p.Found != good {
		t.Errorf("%+v, not %s", p, good)
	}
	first := build(t, filepath.Join(root, "c", "libcudpo.so.13"), "int c;")
	if p := nvidiaLibrary("libcudpo.so.13", append([]string{filepath.Join(root, "c")}, folders...)); p.Found != first {
		t.Errorf("%+v, not %s", p, first)
	}
	delete(nvidia.handles, "cudpo")
}

// Of NVIDIA's installations the newest comes first, and packages of the python3 on PATH are looked at too.
func TestNVIDIAFolders(t *testing.T) {
	onLinux(t)
	root := t.TempDir()
	lay(t, root, "bin/python3", "lib/python3.12/site-packages/nvidia/cu13/lib/x", "lib/python3.12/site-packages/nvidia/cudnn/lib/x")
	if err := os.Chmod(filepath.Join(root, "bin", "python3"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(root, "bin"))
	all := strings.Join(nvidiaFolders(), "\n")
	for _, name := range []string{"cu13", "cudnn"} {
		if want := filepath.Join(root, "lib", "python3.12", "site-packages", "nvidia", name, "lib"); !strings.Contains(all, want) {
			t.Errorf("%s is not among\n%s", want, all)
		}
	}
}

func TestDriver(t *testing.T) {
	onLinux(t)
	says(t, driver([]string{"libcuda-dpo.so.1", "elsewhere/libcuda-dpo.so.1"}).Err, "missing", "NVIDIA driver's libcuda-dpo.so.1", "580 or newer", "--gpus all")
	if p := driver(driverNames()); p.Err != nil {
		says(t, p.Err, "driver", "libcuda.so.1")
	}
	folder := t.TempDir()
	defer delete(nvidia.handles, "driver")
	stand := func(name, source string) Part {
		return driver([]string{"libcuda-dpo.so.1", build(t, filepath.Join(folder, name), source), "libcuda-dpo.so.1"})
	}
	says(t, stand("empty.so", "int x;").Err, "cuDriverGetVersion", "error -1")
	const version = "int cuDriverGetVersion(int *v) { *v = %; return 0; }"
	at := func(v string) string { return strings.Replace(version, "%", v, 1) }
	says(t, stand("old.so", at("12040")).Err, "for CUDA 12.4", "13.0", "580 or newer")
	says(t, stand("asleep.so", at("13000")+"int cuInit(unsigned f) { return 100; } int cuDeviceGetCount(int *n) { *n = 1; return 0; }").Err,
		"no GPU", "error 100", "nvidia-smi -L")
	says(t, stand("none.so", at("13000")+"int cuInit(unsigned f) { return 0; } int cuDeviceGetCount(int *n) { *n = 0; return 0; }").Err,
		"no GPU", "CUDA_VISIBLE_DEVICES")
	says(t, stand("torn.so", at("13000")+"int cuInit(unsigned f) { return 0; } int cuDeviceGetCount(int *n) { *n = 1; return 3; }").Err,
		"no GPU", "error 3")
	good := stand("good.so", at("13020")+"int cuInit(unsigned f) { return 0; } int cuDeviceGetCount(int *n) { *n = 1; return 0; }")
	if want := "CUDA 13.2, " + filepath.Join(folder, "good.so"); good.Err != nil || good.Found != want {
		t.Errorf("%+v, not %s", good, want)
	}
}

// Of a library that the loader finds by its name the path is told.
func TestLibraryOfTheLoader(t *testing.T) {
	onLinux(t)
	const name = "libpthread.so.0" // ONNX Runtime needs it
	if handle, said := openLibrary(name); handle == nil || !filepath.IsAbs(said) || filepath.Base(said) != name {
		t.Errorf("%s was loaded from %q", name, said)
	}
}

// The thread's device is as before when the memory of another was read.
func TestMemoryOfADevice(t *testing.T) {
	onLinux(t)
	path := build(t, filepath.Join(t.TempDir(), "cudart.so"), `#include <stddef.h>
static int device = 2, before;
int cudaGetDevice(int *d) { *d = before = device; return 0; }
int cudaSetDevice(int d) { if (d == 9) return 101; device = d; return 0; }
int cudaMemGetInfo(size_t *f, size_t *t) { *f = device; *t = (size_t)before << 40; return device == 8 ? 46 : 0; }`)
	handle, said := openLibrary(path)
	if handle == nil {
		t.Fatal(said)
	}
	for _, c := range []struct {
		index int
		free  int64
		code  int
	}{{5, 5, 0}, {8, 8, 46}, {9, 0, 101}, {6, 6, 0}} {
		free, total, code := memoryOf(handle, c.index)
		if code != c.code || free != c.free || code == 0 && total != 2<<40 {
			t.Errorf("device %d: %d of %d free, error %d; not %d of %d, error %d", c.index, free, total, code, c.free, int64(2<<40), c.code)
		}
	}
}
