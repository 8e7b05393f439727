# Makes .venv for `./run` and `./test`. To be sourced by bash with `root` set to the repository's folder.
# Everything said here goes to stderr: stdout belongs to the command that is being set up.

say() { printf '%s\n' "$*" >&2; }

# Installs Debian packages, as root or through sudo.
apt_install() {
    local as_root=()
    if ! command -v apt-get >/dev/null; then
        say "error: cannot install $*: this system has no apt-get"
        say "       install them by hand and run this command again"
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            say "error: $* must be installed, and this user is neither root nor has sudo"
            say "       as root: apt-get install $*"
            return 1
        fi
        as_root=(sudo)
    fi
    say "installing system packages: $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2 && return
    # A fresh image has no package lists yet.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update >&2 &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2
}

# find_python [IMPORTS] — prints the first Python that is new enough and can import the modules named; the series the
# project is tested on come first.
find_python() {
    local name
    for name in python3.13 python3.12 python3.11 python3.14 python3; do
        if command -v "$name" >/dev/null &&
            "$name" -c "import sys${1:+, $1}; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

# Prints a Python that is new enough and can make virtual environments, installing what the system lacks.
ensure_python() {
    local python version
    # Debian splits ensurepip off: `import venv` works there, and making an environment fails half-way.
    find_python "ensurepip, venv" && return
    if ! python=$(find_python); then
        say "no Python 3.11 or newer found"
        apt_install python3 python3-venv || true
        # Distributions whose own python3 is older may still carry a newer one beside it.
        find_python >/dev/null || apt_install python3.11 python3.11-venv || true
        if ! python=$(find_python); then
            say "error: this project needs Python 3.11 or newer; install it and run this command again"
            return 1
        fi
    fi
    if ! find_python "ensurepip, venv"; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "python$version-venv" || apt_install python3-venv || return 1
        find_python "ensurepip, venv" && return
        say "error: $python cannot make virtual environments even so; install its venv module and run this command again"
        return 1
    fi
}

# What the environment is made from: the second run is quick as long as none of it changed.
setup_stamp() {
    local file
    {
        printf '%s\n' "$root" "$1"
        for file in pyproject.toml requirements.lock .ci/setup.sh; do
            if [ -f "$root/$file" ]; then cat "$root/$file"; fi
        done
    } | sha256sum | cut -d' ' -f1
}

# ensure_venv EXTRAS — makes or updates $root/.venv with the package (editable) and the named extras ("bench,backend").
ensure_venv() {
    local extras=$1 venv=$root/.venv stamp_file stamp python
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input)
    stamp_file=$venv/.setup-${extras//,/-}
    stamp=$(setup_stamp "$extras")
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp_file" 2>/dev/null)" = "$stamp" ]; then
        return
    fi
    # Two commands started at once must not build one environment together.
    exec 9<"$root"
    flock 9
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp_file" 2>/dev/null)" = "$stamp" ]; then
        exec 9<&-
        return
    fi
    if ! "${pip[@]}" --version >/dev/null 2>&1; then
        python=$(ensure_python) || return 1
        say "making a virtual environment in .venv with $("$python" --version)"
        "$python" -m venv --clear "$venv" >&2 || return 1
    fi
    local install=("${pip[@]}" install --root-user-action=ignore)
    [ -t 2 ] || install+=(--quiet) # progress for a person, silence for a log
    if [ -f "$root/requirements.lock" ]; then
        say "installing carshare-agent [$extras] and the locked versions of its libraries into .venv (once; needs the network)"
        "${install[@]}" --constraint "$root/requirements.lock" --editable "$root[$extras]" >&2 || return 1
    else
        say "installing carshare-agent [$extras] and its libraries into .venv (once; needs the network)"
        "${install[@]}" --editable "$root[$extras]" >&2 || return 1
    fi
    printf '%s\n' "$stamp" >"$stamp_file"
    exec 9<&-
}
