#!/bin/sh
# autogen.sh           make ./configure
# autogen.sh --deps    install what building and testing need, with apt-get (Debian and its kin)
set -eu
cd "$(dirname "$0")"

# The one list of packages. NAME>=VERSION: an older one is upgraded if the archive has that version. (libevent before
# it has known holes; libevent-dev brings the libraries of its own version.)
packages='
	gcc g++ clang libclang-rt-dev make autoconf automake pkgconf
	libevent-dev>=2.1.12-stable-8+deb12u1
	libleveldb-dev liblua5.4-dev libcurl4-openssl-dev libyaml-dev zlib1g-dev liblz4-dev libssl-dev libcmocka-dev
	mosquitto mosquitto-clients python3-paho-mqtt
	lua5.4 lua-check shellcheck python3 python3-pytest python3-yaml python3-jsonschema
	ca-certificates curl git openssl procps ncat socat haproxy tinyproxy-bin
'

# installed NAME: any version?
installed() {
	case $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) in
	ii*) return 0 ;;
	*) return 1 ;;
	esac
}

# new_enough NAME[>=VERSION], which is installed
new_enough() {
	case $1 in
	*'>='*) dpkg --compare-versions "$(dpkg-query -W -f '${Version}' "${1%%>=*}")" ge "${1#*>=}" ;;
	esac
}

# missing, old: the names on the list that are so
missing() {
	for package in $packages; do
		installed "${package%%>=*}" || echo "${package%%>=*}"
	done
}
old() {
	for package in $packages; do
		if installed "${package%%>=*}" && ! new_enough "$package"; then
			echo "${package%%>=*}"
		fi
	done
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

deps() {
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		echo "autogen.sh --deps: not a Debian; install by hand what is called there:$packages" >&2
		exit 1
	fi
	wanted=$(missing; old)
	[ -n "$wanted" ] || return 0
	wanted=$(echo "$wanted" | tr '\n' ' ')
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		echo "autogen.sh --deps: only root (there is no sudo) can install: $wanted" >&2
		exit 1
	fi
	echo "autogen.sh --deps: installing $wanted" >&2
	# What counts is what is there afterwards: no network is no fault if only an upgrade was wanted.
	as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 || true
	# shellcheck disable=SC2086 # a list of names
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $wanted >&2 || true
	left=$(missing | tr '\n' ' ')
	if [ -n "$left" ]; then
		echo "autogen.sh --deps: could not install: $left" >&2
		exit 1
	fi
	for package in $(old); do
		echo "autogen.sh --deps: warning: $package is older than it should be, and this archive has no newer one" >&2
	done
}

case ${1-} in
'') exec autoreconf -fi ;;
--deps) deps ;;
*)
	echo 'usage: ./autogen.sh [--deps]' >&2
	exit 64
	;;
esac
