# Sourced by the scripts beside it: where things lie, and how a file gets there. POSIX sh.
#
#   root     the module's folder
#   cache    a folder outside the tree that survives `make clean`; $DPO_ORT_CACHE overrides it
#   go_tool  a Go program that is no dependency of the module
#   python_* a Python interpreter with pinned packages, in the cache
#   platform linux-x86_64, linux-aarch64, darwin-arm64, …

here=${0%/*}
[ "$here" != "$0" ] || here=.
root=$(cd "$here/.." && pwd) || exit 1
cache=${DPO_ORT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dpo-ort}

platform() {
    uname -sm | tr 'A-Z ' 'a-z-'
}

# fail says why this script stops, and stops.
fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# sha256 FILE prints the file's digest; nothing where there is no such file.
sha256() {
    [ -f "$1" ] || return 0
    python3 -c '
import hashlib, sys
digest = hashlib.sha256()
with open(sys.argv[1], "rb") as file:
    while part := file.read(1 << 20):
        digest.update(part)
print(digest.hexdigest())
' "$1"
}

# put FILE PLACE copies FILE to PLACE in one step: another build sees the old file or the new one, never half of it.
put() {
    mkdir -p "${2%/*}" && cp "$1" "$2.$$" && mv -f "$2.$$" "$2"
}

# fetch_wheel REQUIREMENT HASH PLATFORM FOLDER downloads one wheel from PyPI into FOLDER; pip refuses any other bytes.
fetch_wheel() {
    mkdir -p "$4" && echo "$1 --hash=sha256:$2" > "$4/requirements.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --platform "$3" --python-version 3.12 --implementation cp \
        --require-hashes --requirement "$4/requirements.txt" --dest "$4"
}

# go_tool NAME prints where the program of scripts/tools/NAME lies; it is built once, into the cache. That folder's go.mod names its version,
# and go.sum the digest of each module that it is built from.
go_tool() {
    lock=$root/scripts/tools/$1
    tool=$cache/$1-$(sha256 "$lock/go.sum" | cut -c 1-12)-$(cd "$root" && go env GOVERSION)/$1
    if [ ! -x "$tool" ]; then
        echo "building $1 (it may take some minutes)" >&2
        (cd "$lock" && mkdir -p "${tool%/*}" && GOFLAGS=-mod=readonly GOWORK=off go build -trimpath -o "$tool.part" "$(sed -n 's/^tool //p' go.mod)" && mv "$tool.part" "$tool") ||
            fail "$1 did not build: see go's message above"
    fi
    echo "$tool"
}

# python_pins PACKAGE... prints the packages with the versions that scripts/golden pins.
python_pins() {
    grep -E "^($(echo "$*" | tr ' ' '|'))==" "$root/scripts/golden/requirements.txt" | tr '\n' ' '
}

# python_path NAME PACKAGE... prints where the interpreter with these packages lies, or would lie.
python_path() {
    name=$1
    shift
    echo "$cache/$name-$(python_pins "$@" | tr -cd 'a-z0-9.')/bin/python"
}

# python_make NAME PACKAGE... makes that interpreter where it is not there, and prints it.
python_make() {
    python=$(python_path "$@")
    shift
    kept=${python%/bin/python}
    if [ ! -x "$python" ]; then
        pins=$(python_pins "$@")
        echo "installing $pins" >&2
        mkdir -p "$cache"
        rm -rf "$kept.part"
        # shellcheck disable=SC2086 # pins are words
        { python3 -m venv "$kept.part" && "$kept.part/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: $pins >&2; } ||
            fail "$* could not be installed: see pip's message above"
        mv "$kept.part" "$kept"
    fi
    echo "$python"
}

# build_program FILE builds the program of the current folder as it is given to others: the same source gives the same bytes. Go's build
# ID is left out, for it is a digest of flags that name the folder of the libraries.
build_program() {
    CGO_ENABLED=1 go build -trimpath -buildvcs=auto -ldflags='-s -buildid=' -o "$1" ./cmd/dpo-ort
}
