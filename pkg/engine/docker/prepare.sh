# What the steps of the Dockerfiles do inside a base image, whatever its package
# manager is. It keeps to what every shell and busybox have. A line that begins
# with "eascmd:" is shown to the user.
#
#   prepare.sh runtime          libraries, and certificate authorities in ca/
#   prepare.sh compiler         a C compiler
#   prepare.sh host PATH FLAGS  compile host.c
#   prepare.sh java             a Java, and certificate authorities in ca/
#   prepare.sh jar PATH FLAGS   host.jar, or else the sources in eashost/ compiled
#   prepare.sh archive PATH     what a JVM that runs this jar reads at its start
#   prepare.sh python           Python 3 and pip
#   prepare.sh interpreter VERSION DIR
#                               a Python to make an environment DIR of; of a
#                               version, if that is not empty
#   prepare.sh environment DIR VERSION
#                               eascmd, and an environment with pip and the SDK
#   prepare.sh tools            what building Python packages from source takes
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

# known PACKAGE: the package manager has it.
known() {
	case $manager in
	apt-get) apt-cache show "$1" >/dev/null 2>&1 ;;
	apk) [ -n "$(apk search --no-cache -e "$1" 2>/dev/null)" ] ;;
	microdnf) [ -n "$(microdnf repoquery "$1" 2>/dev/null)" ] ;;
	*) $manager -q list "$1" >/dev/null 2>&1 ;;
	esac
}

# choose PACKAGES sets chosen: of names with "|" between them the first that is
# known, or else the last, for the package manager to complain about.
choose() {
	chosen=
	for names in "$@"; do
		while :; do
			name=${names%%"|"*}
			[ "$name" != "$names" ] && ! known "$name" || break
			say "there is no $name; taking another"
			names=${names#*"|"}
		done
		chosen="$chosen $name"
	done
}

# usual PACKAGES prints, of names with "|" between them, the first.
usual() { echo "$1" | sed 's/|[^ ]*//g'; }

# install PACKAGES: those for apt, apk and rpm, parted by "--". A|B is A, or B
# where the distribution has no A.
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
		manager=apt-get
		say "installing$(usual "$apt") with apt-get"
		set -- -q -o Acquire::Retries=2 -o APT::Sandbox::User=root -o DPkg::Options::=--force-unsafe-io
		[ ! -f $bundle ] || set -- "$@" -o Acquire::https::CAInfo=$bundle
		export DEBIAN_FRONTEND=noninteractive
		# A package source that fails may be one that nothing is needed from.
		apt-get "$@" update || say "apt-get update failed; going on with what it has"
		choose $apt
		apt-get "$@" install -y --no-install-recommends $chosen
		rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb
	elif command -v apk >/dev/null 2>&1; then
		manager=apk
		say "installing$(usual "$apk") with apk"
		[ ! -f $bundle ] || export SSL_CERT_FILE=$bundle
		choose $apk
		apk add --no-cache $chosen
	else
		for manager in dnf microdnf yum; do
			command -v $manager >/dev/null 2>&1 || continue
			say "installing$(usual "$rpm") with $manager"
			[ ! -f $bundle ] || trust
			set -- -y
			[ $manager = microdnf ] || set -- "$@" --setopt=install_weak_deps=False
			choose $rpm
			$manager "$@" install $chosen
			$manager clean all >/dev/null
			rm -f $bundle
			return
		done
		echo "eascmd: no package manager (apt-get, apk, dnf, microdnf, yum) to install$(usual "$apt") with" >&2
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

# java_program NAME prints the path of a program of Java's that works: that of
# JAVA_HOME, the one on PATH, or one in the usual places.
java_program() {
	for file in "${JAVA_HOME:-/nonexistent}/bin/$1" "$(command -v "$1" || true)" /usr/lib/jvm/*/bin/"$1" /opt/java/*/bin/"$1" /usr/java/*/bin/"$1"; do
		if [ -x "$file" ] && "$file" -version >/dev/null 2>&1; then
			echo "$file"
			return 0
		fi
	done
	return 1
}

# java_home JAVA prints the directory of a Java.
java_home() {
	"$1" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.home = //p'
}

# trust_java adds the authorities in ca/ to those that the Java trusts, whose own
# file not every Java makes of the system's.
trust_java() {
	[ -d $here/ca ] || return 0
	home=$(java_home "$(java_program java)")
	for file in $here/ca/*; do
		"$home/bin/keytool" -importcert -noprompt -keystore "$home/lib/security/cacerts" -storepass changeit -alias "${file##*/}" -file "$file" >/dev/null 2>&1 ||
			say "the certificate authority ${file##*/} could not be added to $home/lib/security/cacerts"
	done
}

# makes_environments: python3 is there, and has what an environment is made with.
makes_environments() {
	command -v python3 >/dev/null 2>&1 && python3 -c 'import ensurepip, ssl, venv' 2>/dev/null
}

# is_version VERSION PYTHON: the Python has a version that begins like that.
is_version() {
	has=$("$2" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
	case $has. in "$1".*) return 0 ;; esac
	echo "eascmd: the base has Python $has, and Python $1 was asked for" >&2
	exit 66
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
java)
	if ! java_program java >/dev/null; then
		mkdir -p /usr/share/man/man1 # the package fails without it, and images have no manuals
		install "openjdk-17-jre-headless|default-jre-headless" libgomp1 ca-certificates -- \
			openjdk17-jre-headless libgomp ca-certificates -- \
			"java-17-openjdk-headless|java-21-openjdk-headless|java-headless" libgomp ca-certificates
	fi
	trust
	trust_java
	"$(java_program java)" -version
	;;
jar)
	mkdir -p "${2%/*}"
	if [ -f $here/host.jar ]; then
		cp $here/host.jar "$2"
		chmod 644 "$2"
		exit
	fi
	java_program javac >/dev/null ||
		install "openjdk-17-jdk-headless|default-jdk-headless" -- openjdk17-jdk -- "java-17-openjdk-devel|java-21-openjdk-devel|java-devel"
	javac=$(java_program javac) || {
		echo "eascmd: no Java compiler that works" >&2
		exit 68
	}
	say "compiling the host for Java processors"
	case $("$javac" -version 2>&1) in
	*" 1.8."*) java8="-source 8 -target 8" ;;
	*) java8="--release 8" ;;
	esac
	mkdir -p $here/classes
	"$javac" $3 $java8 -d $here/classes $here/eashost/*.java
	"${javac%/*}/jar" c0fe "$2" eashost.Main -C $here/classes . # not compressed: it is read at every start
	chmod 644 "$2"
	;;
archive)
	java=$(java_program java)
	"$java" -cp "$2" eashost.Main --version
	# Without an archive a start takes longer, and that is all.
	say "preparing the start of Java"
	[ -e "$(java_home "$java")/lib/server/classes.jsa" ] || "$java" -Xshare:dump >/dev/null 2>&1 || true
	"$java" -XX:ArchiveClassesAtExit="${2%.jar}.jsa" "-Xlog:cds*=off" -XX:-UsePerfData -cp "$2" eashost.Main --warm >/dev/null 2>&1 ||
		rm -f "${2%.jar}.jsa"
	rm -rf $here /tmp/hsperfdata_*
	;;
python)
	if ! command -v python3 >/dev/null 2>&1 || ! python3 -m pip --version >/dev/null 2>&1 || [ -z "$(trusted)" ]; then
		install python3 python3-pip ca-certificates -- python3 py3-pip ca-certificates -- python3 python3-pip ca-certificates
	fi
	trust
	python3 --version
	rm -rf $here
	;;
interpreter)
	if [ -e "$3" ]; then
		echo "eascmd: the base has an environment $3" >&2
		exit 67
	fi
	[ -n "$(conda_like)" ] || makes_environments || {
		install python3 python3-dev python3-venv ca-certificates -- python3 python3-dev ca-certificates -- python3 python3-devel ca-certificates
	}
	trust
	[ -z "$2" ] || [ -n "$(conda_like)" ] || is_version "$2" python3
	;;
environment)
	cp $here/eascmd /usr/local/bin/eascmd
	chmod 755 /usr/local/bin/eascmd
	mkdir -p "${2%/*}"
	tool=$(conda_like)
	if [ -n "$tool" ]; then
		say "making the environment $2 with $tool"
		$tool create -q -y -p "$2" "python${3:+=$3}" pip
		[ -z "$3" ] || is_version "$3" "$2/bin/python"
		eascmd pysdk wheel -o $here
		"$2/bin/python" -m pip install -q --no-index --no-deps $here/*.whl
	else
		say "making the environment $2 with $(python3 --version)"
		eascmd pysdk init $here/project --backend copy
		mv $here/project/ENV "$2"
	fi
	chmod 1777 "${2%/*}"
	;;
tools)
	if ! compiles || ! command -v g++ >/dev/null 2>&1 || ! command -v git >/dev/null 2>&1; then
		install gcc g++ libc6-dev make git -- gcc g++ musl-dev make git -- gcc gcc-c++ glibc-devel make git
	fi
	rm -rf $here
	;;
esac
