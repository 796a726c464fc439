"""What to do about a program that does not load. It is read only when one has
not."""
import os
import sys

DATA_IMAGE = "/data/eas/ENV"  # where a data image holds an environment

# Modules that a distribution of another name brings.
DISTRIBUTIONS = {
    "Bio": "biopython",
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyOpenSSL",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",  # the other one needs libGL, which servers do not have
    "dateutil": "python-dateutil",
    "distutils": "setuptools",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "PyMuPDF",
    "git": "GitPython",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "imblearn": "imbalanced-learn",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "multipart": "python-multipart",
    "nacl": "PyNaCl",
    "odps": "pyodps",
    "osgeo": "GDAL",
    "paddle": "paddlepaddle",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pylab": "matplotlib",
    "pywt": "PyWavelets",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "skopt": "scikit-optimize",
    "snappy": "python-snappy",
    "socks": "PySocks",
    "talib": "TA-Lib",
    "umap": "umap-learn",
    "websocket": "websocket-client",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}

# Modules of the standard library that newer Pythons have no more.
REMOVED = (
    "aifc asynchat asyncore audioop binhex cgi cgitb chunk crypt formatter imghdr imp mailcap msilib nis nntplib "
    "ossaudiodev parser pipes smtpd sndhdr spwd sunau symbol telnetlib uu xdrlib"
).split()

# Modules of the standard library that are left out where a library was missing
# when Python was built. sys.stdlib_module_names has all of them, from 3.10 on.
OPTIONAL = (
    "_bz2 _ctypes _curses _dbm _gdbm _hashlib _lzma _sqlite3 _ssl _tkinter _uuid bz2 ctypes curses dbm lzma readline "
    "sqlite3 ssl tkinter zlib"
).split()


def hint(error, entry):
    """Return what to do about an exception that ended a program, or nothing."""
    said = getattr(error, "_eas_hint", "")
    if said:
        return said
    if isinstance(error, OSError) and getattr(error, "filename", None) == entry:
        return "processor_entry is to name the program, by its path inside the processor"
    name = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError) and name:
        return _missing(name, entry)
    if isinstance(error, (AttributeError, ImportError)) and "'allspark'" in str(error):
        return _no_sdk(entry)
    return ""


def _missing(name, entry):
    top = name.partition(".")[0]
    if top == "allspark":
        return _no_sdk(entry)
    major, minor = sys.version_info[:2]
    if top in REMOVED:
        return "Python %d.%d has no module %s any more: take an older Python, or change what imports it" % (major, minor, top)
    loaded = sys.modules.get(top)
    if top in getattr(sys, "stdlib_module_names", OPTIONAL) and not (loaded and top != name):
        return (
            "it belongs to the standard library, and pip has none: %s was built without it; take another Python, "
            "with `eascmd pysdk init --python` for example" % _interpreter(entry)
        )
    path = getattr(loaded, "__file__", None) or ""
    if loaded is not None and path.startswith(os.path.join(os.path.dirname(entry), "")) and "site-packages" not in path:
        return "%s is %s of the processor, which has no such module" % (top, path[len(os.path.dirname(entry)) + 1:])
    if top == "google" and name not in DISTRIBUTIONS:
        return "install what brings it, `protobuf` for google.protobuf for example: " + _install(entry, "protobuf")
    distribution = DISTRIBUTIONS.get(name) or DISTRIBUTIONS.get(top, top)
    if loaded is not None and top != "google":
        return "another version of it may have that module: " + _install(entry, "--upgrade " + distribution)
    return "install it into the interpreter that runs the processor: " + _install(entry, distribution)


def _no_sdk(entry):
    """The allspark on PyPI is something else."""
    found = sys.modules.get("allspark")
    if found is not None and hasattr(found, "BaseProcessor"):
        return ""
    where = " at %s" % found.__file__ if getattr(found, "__file__", None) else ""
    return "the allspark%s is not the SDK of processors; `eascmd pysdk wheel` has it: %s" % (
        where,
        _install(entry, '--force-reinstall "$(eascmd pysdk wheel -o dist)"'),
    )


def _install(entry, what):
    if os.path.normpath(sys.prefix) == DATA_IMAGE:
        return "`ENV/bin/python -m pip install %s`, then `eascmd image build` again" % what
    return "`%s -m pip install %s`" % (_interpreter(entry), what)


def _interpreter(entry):
    """Return the path of the interpreter. One in the processor's own ENV is
    named by its path there: the copy that runs may be gone in a moment."""
    above = os.path.dirname(entry)
    while above:
        env = os.path.join(above, "ENV")
        for prefix in (sys.prefix, os.path.dirname(os.path.dirname(sys.executable or ""))):
            try:
                if os.path.samefile(env, prefix):
                    return "ENV/bin/python"
            except (OSError, ValueError):
                pass
        if above == os.path.dirname(above):
            break
        above = os.path.dirname(above)
    return sys.executable or "python3"
