// Package packingtest has what tests share that pack a Python environment.
package packingtest

// Unneeded is an ignore file that leaves out most of what Python comes with, and
// nothing that these tests use. Packing all of it takes long where the race
// detector looks on.
const Unneeded = `
ENV/**/__pycache__/
ENV/lib/python3.*/asyncio/
ENV/lib/python3.*/ctypes/
ENV/lib/python3.*/curses/
ENV/lib/python3.*/distutils/
ENV/lib/python3.*/email/
ENV/lib/python3.*/ensurepip/
ENV/lib/python3.*/idlelib/
ENV/lib/python3.*/lib2to3/
ENV/lib/python3.*/multiprocessing/
ENV/lib/python3.*/pydoc_data/
ENV/lib/python3.*/sqlite3/
ENV/lib/python3.*/tkinter/
ENV/lib/python3.*/unittest/
ENV/lib/python3.*/xml/
ENV/lib/python3.*/config-*/
ENV/lib/libcrypto*
ENV/lib/libsqlite*
ENV/lib/python3.*/lib-dynload/
ENV/share/
!ENV/lib/python3.*/lib-dynload/_json*
`
