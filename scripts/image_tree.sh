#!/usr/bin/env bash
# Makes the file system of the container image from a build: the two programs, the libraries that they are linked with, and
# nothing else but what these read (certificates of authorities, names of users). No shell, no package manager.
#
#   scripts/image_tree.sh BUILD_DIR TREE
set -euo pipefail
case ${1:-} in
  -h | --help | '')
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
root=$(cd "$(dirname "$0")/.." && pwd)
build=$1 tree=$2
user=65532

mkdir -p "$tree"/{data,etc/ssl/certs,tmp,usr/bin,usr/share/doc/observer,run}
chmod 1777 "$tree/tmp"
ln -sfn usr/lib "$tree/lib"
ln -sfn usr/lib64 "$tree/lib64"
mkdir -p "$tree/usr/lib" "$tree/usr/lib64"

for program in observerd observerctl; do
  install -m 0755 "$build/$program" "$tree/usr/bin/$program"
  strip --strip-unneeded "$tree/usr/bin/$program"
  # Of `name => path (address)` and `path (address)` the path; a library goes where the loader looks for it.
  ldd "$build/$program" | grep -o '/[^ ]* (0x' | while read -r path _; do
    target=$tree/${path#/}
    [ -e "$target" ] && continue
    mkdir -p "$(dirname "$target")"
    install -m 0755 "$(readlink -f "$path")" "$target"
  done
done

printf 'root:x:0:0:root:/:/sbin/nologin\nobserver:x:%d:%d:observerd:/data:/sbin/nologin\n' $user $user >"$tree/etc/passwd"
printf 'root:x:0:\nobserver:x:%d:\n' $user >"$tree/etc/group"
printf 'hosts: files dns\n' >"$tree/etc/nsswitch.conf"
cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/"
cp "$root/LICENSE" "$tree/usr/share/doc/observer/"
"$root/scripts/sbom.py" "$build" >"$tree/usr/share/doc/observer/observer.cdx.json"
if [ "$(id -u)" = 0 ]; then chown $user:$user "$tree/data"; fi
chmod 0700 "$tree/data"
du -sk "$tree" | awk '{ printf "image: %.1f MB\n", $1 / 1000 }'
