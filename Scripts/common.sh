# shellcheck shell=bash
# shellcheck disable=SC2034 # the variables are for those who source this
# What the scripts share. Source it; it changes to the root of the project.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

SWIFT="${SWIFT:-swift}"
read -r -a SWIFT_FLAGS_LIST <<<"${SWIFT_FLAGS:--c release -Xswiftc -enforce-exclusivity=unchecked}"
MARTLET_BINARY="${MARTLET_BINARY:-$PWD/.build/release/martlet}"

# What a build needs beside the Swift toolchain: the libraries that Martlet links and what SwiftPM calls.
BUILD_PACKAGES=(libsimdjson-dev libsqlite3-dev zlib1g-dev libstdc++-12-dev git ca-certificates)

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Installs those of the named Debian packages that are missing.
install_packages() {
    local package missing=() asRoot=()
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: make sure that these are there: $*"
        return 0
    fi
    for package in "$@"; do
        if [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]]; then
            missing+=("$package")
        fi
    done
    if ((${#missing[@]} == 0)); then return 0; fi
    if ((EUID != 0)); then
        command -v sudo >/dev/null || die "these packages are missing and there is no sudo; as root, run: apt-get install ${missing[*]}"
        asRoot=(sudo)
    fi
    say "installing ${missing[*]}"
    "${asRoot[@]}" apt-get update -qq || die "apt-get update failed; then install by hand: ${missing[*]}"
    "${asRoot[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" \
        || die "these packages could not be installed; as root, run: apt-get install ${missing[*]}"
}

need_swift() {
    command -v "$SWIFT" >/dev/null || die "no Swift toolchain found ('$SWIFT'); install Swift 6.3 from https://www.swift.org/install/linux/"
}
