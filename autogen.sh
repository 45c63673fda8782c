#!/bin/sh
# autogen.sh           make ./configure
# autogen.sh --deps    install what building and testing need, with apt-get (Debian and its kin)
set -eu
cd "$(dirname "$0")"

# The one list of packages. NAME>=VERSION: an older one is upgraded if the archive has that version.
packages='
	gcc g++ make autoconf automake pkg-config clang
	libevent-dev libleveldb-dev liblua5.4-dev libcurl4-openssl-dev libyaml-dev zlib1g-dev libssl-dev
	libevent-core-2.1-7>=2.1.12-stable-8+deb12u1 libevent-extra-2.1-7>=2.1.12-stable-8+deb12u1
	libevent-openssl-2.1-7>=2.1.12-stable-8+deb12u1 libevent-pthreads-2.1-7>=2.1.12-stable-8+deb12u1
	libcmocka-dev lua5.4 shellcheck
	python3 python3-pytest python3-yaml python3-jsonschema
	ca-certificates curl git openssl procps
'

# installed NAME[>=VERSION]: is it there, and new enough?
installed() {
	name=${1%%>=*}
	have=$(dpkg-query -W -f '${db:Status-Abbrev}${Version}' "$name" 2>/dev/null) || return 1
	case $have in ii*) ;; *) return 1 ;; esac
	case $1 in *'>='*) dpkg --compare-versions "${have#ii }" ge "${1#*>=}" ;; esac
}

# wanted: names of the packages that are missing or too old
wanted() {
	for package in $packages; do
		installed "$package" || echo "${package%%>=*}"
	done
}

deps() {
	command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || {
		echo "autogen.sh --deps: this is not Debian; install by hand the equivalents of:$packages" >&2
		exit 1
	}
	missing=$(wanted)
	[ -n "$missing" ] || return 0
	sudo=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || {
			echo "autogen.sh --deps: needs root or sudo to install:" $missing >&2
			exit 1
		}
		sudo=sudo
	fi
	echo "installing:" $missing >&2
	export DEBIAN_FRONTEND=noninteractive
	$sudo apt-get update -q
	# shellcheck disable=SC2086 # a list
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing
	for package in $packages; do
		installed "$package" || echo "autogen.sh --deps: warning: the archive has no ${package} " >&2
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
