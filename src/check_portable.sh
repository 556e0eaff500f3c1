#!/bin/sh
# Builds the C core with every compiler found here, without OpenMP, under sanitizers and
# for 64-bit ARM, with warnings as errors, and runs its self-test in each build.
#
#     src/check_portable.sh [DIRECTORY FOR THE BUILDS]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$(mktemp -d)}
mkdir -p "$out"

check() { # NAME SETUP-OPTIONS...
    name=$1
    shift
    rm -rf "${out:?}/$name"
    meson setup "$out/$name" "$root" --werror "$@" >"$out/$name.log" 2>&1 &&
        meson compile -C "$out/$name" selftest >>"$out/$name.log" 2>&1 &&
        meson test -C "$out/$name" selftest >>"$out/$name.log" 2>&1 || {
        echo "$name: FAILED"
        cat "$out/$name.log"
        exit 1
    }
    echo "$name: ok"
}

sanitizers="-Doptimization=1 -Dbuildtype=custom -Ddebug=true -Db_sanitize=address,undefined -Db_lundef=false"

for compiler in gcc clang clang-14; do
    command -v "$compiler" >/dev/null || continue
    # the versioned name only where it is the only one
    if [ "$compiler" = clang-14 ] && command -v clang >/dev/null; then continue; fi
    CC=$compiler check "$compiler"
done
# the leak check cannot run under a debugger or in some containers; libgomp keeps its pool
# shellcheck disable=SC2086
ASAN_OPTIONS=detect_leaks=0 check sanitized $sanitizers
check no-openmp -Dopenmp=disabled

if command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64-static >/dev/null
then
    cat >"$out/aarch64.ini" <<EOF
[binaries]
c = 'aarch64-linux-gnu-gcc'
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
exe_wrapper = ['qemu-aarch64-static', '-L', '/usr/aarch64-linux-gnu']
numpy-config = '$(command -v numpy-config)'
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'armv8-a'
endian = 'little'
EOF
    check aarch64 --cross-file "$out/aarch64.ini"
fi
