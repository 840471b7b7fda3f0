#!/usr/bin/env bash
# Links the library for 64-bit Android with the cross compiler of the wheels, and fails if it
# needs a symbol that Android's libc, libm and libdl do not have.
#
# The compiler comes without Android's libraries: what the library leaves undefined is compared
# with the functions below, all of which Android has had since version 7 (API level 24). The
# compiler's own helpers, __aarch64_*, are linked statically from the NDK's run-time library.
set -euo pipefail
cd "$(dirname "$0")/.."

work=build/android
mkdir -p "$work"
include=$(build/tools/bin/python -c 'import ziglang, pathlib; print(pathlib.Path(ziglang.__file__).parent / "lib/libc/include")')
for source in native/*.c native/*/*.c; do
  # Android has no headers here: those of musl declare the same functions of C and POSIX, but
  # for __errno_location, which is __errno on Android.
  build/tools/bin/python -m ziglang cc -target aarch64-linux-android -std=c11 -O3 -fPIC \
    -fvisibility=hidden -ffp-contract=off -Inative -Wall -Wextra -Wno-nullability-completeness -nostdinc \
    -isystem "$include/../../include" -isystem "$include/aarch64-linux-musl" \
    -isystem "$include/generic-musl" -isystem "$include/any-linux-any" \
    -c "$source" -o "$work/$(basename "$source" .c).o"
done
build/tools/bin/python -m ziglang cc -target aarch64-linux-android -nostdlib -shared \
  -Wl,--allow-shlib-undefined -Wl,-z,max-page-size=16384 "$work"/*.o -o "$work/liblarq_bcd.so"

sort >"$work/known" <<'END'
__errno
calloc
clock_gettime
fabsf
fmaf
free
getpid
malloc
memcmp
memcpy
memmove
memset
posix_memalign
pthread_cond_broadcast
pthread_cond_destroy
pthread_cond_init
pthread_cond_signal
pthread_cond_wait
pthread_create
pthread_join
pthread_mutex_destroy
pthread_mutex_init
pthread_mutex_lock
pthread_mutex_unlock
realloc
strcmp
strlen
strtol
vsnprintf
END
"$(command -v llvm-nm || echo nm)" -D --undefined-only "$work/liblarq_bcd.so" | awk '{print $NF}' |
  sed -e 's/^__errno_location$/__errno/' -e '/^__aarch64_/d' | sort -u >"$work/needed"
missing=$(comm -23 "$work/needed" "$work/known")
if [ -n "$missing" ]; then
  echo "Android's libc and libm do not have:" $missing >&2
  exit 1
fi
echo "liblarq_bcd.so for Android: $(wc -l <"$work/needed") symbols, all in its libc and libm"
