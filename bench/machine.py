"""What a measurement was made on, in two lines, and without the machine's name."""
import os, pathlib, platform, re, subprocess


def processor():
    """Model, cores that this process may use, and vector extensions."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    field = lambda name: (re.search(rf"^{name}\s*:\s*(.*)$", text, re.M) or ["", ""])[1]
    flags = field("flags").split() or field("Features").split()
    vectors = [f for f in ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "asimd", "sve") if f in flags]
    return f"{field('model name') or platform.machine()}, {cores()} cores, {' '.join(vectors)}"


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def describe():
    return f"{processor()}, {memory() / 2**30:.0f} GiB, {platform.system()} {platform.machine()}"


def versions(root, program, peers):
    """Ours, and the peers' where there are any."""
    said = lambda *command: subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout
    changed = said("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/RESULTS.md", ":!bench/kept.json")
    commit = said("git", "rev-parse", "--short", "HEAD").strip()
    parts = [f"commit {commit}{' and changes' if changed else ''}", said("go", "env", "GOVERSION").strip()]
    parts += [" ".join(line.split()) for line in said(program, "--version").splitlines() if line.startswith("onnxruntime")]
    if peers:
        code = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in ('trl', 'torch', 'transformers', 'tokenizers')), sep=', ')"
        parts.append(said(peers, "-c", code).strip())
    return ", ".join(parts)
