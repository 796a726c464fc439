# What the steps of the Dockerfiles do inside a base image, whatever its package
# manager is. It keeps to what every shell and busybox have. A line that begins
# with "eascmd:" is shown to the user.
#
#   prepare.sh runtime          libraries, and certificate authorities in ca/
#   prepare.sh compiler         a C compiler
#   prepare.sh host PATH FLAGS  compile host.c
#   prepare.sh python           Python 3 and pip
#   prepare.sh tools            what building Python packages from source takes
#   prepare.sh environment DIR VERSION
#                               a Python environment with pip and the wheels here
#
# Nothing is installed that is there already, so that a base which has it all is
# built upon without a network.
set -eu
here=/tmp/eascmd
bundle=/tmp/eascmd-ca.pem

say() { echo "eascmd: $*"; }

# has_library NAME: the dynamic linker would find it.
has_library() {
	for dir in /lib /usr/lib /lib64 /usr/lib64 /usr/local/lib /usr/local/lib64 /lib/*-linux-gnu* /usr/lib/*-linux-gnu*; do
		[ -e "$dir/$1" ] && return 0
	done
	return 1
}

# The file that the base's programs know certificate authorities from.
trusted() {
	for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
		if [ -s "$file" ]; then
			echo "$file"
			return
		fi
	done
}

# trust adds the authorities in ca/ to those that the base trusts.
trust() {
	[ -d $here/ca ] || return 0
	if command -v update-ca-trust >/dev/null 2>&1; then
		mkdir -p /etc/pki/ca-trust/source/anchors
		cp $here/ca/* /etc/pki/ca-trust/source/anchors/
		update-ca-trust
		return
	fi
	mkdir -p /usr/local/share/ca-certificates
	cp $here/ca/* /usr/local/share/ca-certificates/
	if command -v update-ca-certificates >/dev/null 2>&1; then
		update-ca-certificates >/dev/null
	else
		mkdir -p /etc/ssl/certs
		cat $here/ca/* >>/etc/ssl/certs/ca-certificates.crt
	fi
}

# join_authorities writes one file for the package manager: those that the base
# knows and ours. There is none where the package manager needs none of ours.
join_authorities() {
	[ -d $here/ca ] || return 0
	file=$(trusted)
	cat ${file:+"$file"} $here/ca/* >$bundle
}

# install PACKAGES: those for apt, apk and rpm, parted by "--".
install() {
	apt= apk= rpm=
	list=apt
	for word in "$@"; do
		if [ "$word" = -- ]; then
			case $list in apt) list=apk ;; *) list=rpm ;; esac
		else
			eval "$list=\"\$$list \$word\""
		fi
	done
	join_authorities
	if command -v apt-get >/dev/null 2>&1; then
		say "installing$apt with apt-get"
		set -- -q -o Acquire::Retries=2 -o APT::Sandbox::User=root -o DPkg::Options::=--force-unsafe-io
		[ ! -f $bundle ] || set -- "$@" -o Acquire::https::CAInfo=$bundle
		export DEBIAN_FRONTEND=noninteractive
		# A package source that fails may be one that nothing is needed from.
		apt-get "$@" update || say "apt-get update failed; going on with what it has"
		apt-get "$@" install -y --no-install-recommends $apt
		rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb
	elif command -v apk >/dev/null 2>&1; then
		say "installing$apk with apk"
		[ ! -f $bundle ] || export SSL_CERT_FILE=$bundle
		apk add --no-cache $apk
	else
		for manager in dnf microdnf yum; do
			command -v $manager >/dev/null 2>&1 || continue
			say "installing$rpm with $manager"
			[ ! -f $bundle ] || trust
			set -- -y
			[ $manager = microdnf ] || set -- "$@" --setopt=install_weak_deps=False
			$manager "$@" install $rpm
			$manager clean all >/dev/null
			rm -f $bundle
			return
		done
		echo "eascmd: no package manager (apt-get, apk, dnf, microdnf, yum) to install$apt with" >&2
		exit 64
	fi
	rm -f $bundle
}

# compiles: there is a C compiler, and it has the C library's headers.
compiles() {
	for CC in cc gcc clang; do
		command -v $CC >/dev/null 2>&1 || continue
		printf '#include <stdio.h>\n#include <pthread.h>\nint main(void) { return 0; }\n' |
			$CC -o /tmp/eascmd-probe -x c - 2>/dev/null || continue
		rm -f /tmp/eascmd-probe
		return 0
	done
	return 1
}

# python3 is found, and has what an environment is made with.
makes_environments() {
	command -v python3 >/dev/null 2>&1 && python3 -c 'import ensurepip, ssl, venv' 2>/dev/null
}

# conda_like prints the first of the programs of conda's kind that is there.
conda_like() {
	for name in micromamba mamba conda; do
		if command -v $name >/dev/null 2>&1; then
			echo $name
			return
		fi
	done
}

case $1 in
runtime)
	if ! has_library libstdc++.so.6 || ! has_library libgomp.so.1 || [ -z "$(trusted)" ]; then
		install libstdc++6 libgomp1 ca-certificates -- libstdc++ libgomp ca-certificates -- libstdc++ libgomp ca-certificates
	fi
	trust
	rm -rf $here
	;;
compiler)
	compiles || install gcc libc6-dev -- gcc musl-dev -- gcc glibc-devel
	;;
host)
	compiles || {
		echo "eascmd: no C compiler that works" >&2
		exit 65
	}
	say "compiling the host for C and C++ processors"
	mkdir -p "${2%/*}"
	$CC $3 -o "$2" -x c $here/host.c -ldl
	chmod 755 "$2"
	"$2" --version
	;;
python)
	if ! command -v python3 >/dev/null 2>&1 || ! python3 -m pip --version >/dev/null 2>&1 || [ -z "$(trusted)" ]; then
		install python3 python3-pip ca-certificates -- python3 py3-pip ca-certificates -- python3 python3-pip ca-certificates
	fi
	trust
	python3 --version
	rm -rf $here
	;;
tools)
	if ! compiles || ! command -v git >/dev/null 2>&1 || [ -z "$(trusted)" ]; then
		install gcc g++ libc6-dev make git ca-certificates -- gcc g++ musl-dev make git ca-certificates -- gcc gcc-c++ glibc-devel make git ca-certificates
	fi
	if [ -z "$(conda_like)" ] && ! makes_environments; then
		install python3 python3-dev python3-venv -- python3 python3-dev -- python3 python3-devel
	fi
	trust
	;;
environment)
	tool=$(conda_like)
	if [ -n "$tool" ]; then
		say "making the environment $2 with $tool"
		$tool create -q -y -p "$2" "python${3:+=$3}" pip
	else
		say "making the environment $2 with $(python3 --version)"
		python3 -m venv "$2"
	fi
	has=$("$2/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	if [ -n "$3" ] && [ "$has" != "$3" ]; then
		echo "eascmd: the base has Python $has, and Python $3 was asked for" >&2
		exit 66
	fi
	for wheel in $here/*.whl; do
		[ ! -e "$wheel" ] || "$2/bin/python" -m pip install -q --no-index --no-deps "$wheel"
	done
	chmod 1777 "${2%/*}"
	rm -rf $here
	;;
esac
