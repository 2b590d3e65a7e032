// pyconfig.h: facts of a platform that CPython's headers ask for, where it is
// not that of the build. This stands in the place of the builder's own file,
// which describes the builder. The stable ABI needs no more than sizes; the
// compiler knows those of its target.
#ifndef Py_PYCONFIG_H
#define Py_PYCONFIG_H

#define SIZEOF_SHORT __SIZEOF_SHORT__
#define SIZEOF_INT __SIZEOF_INT__
#define SIZEOF_LONG __SIZEOF_LONG__
#define SIZEOF_LONG_LONG __SIZEOF_LONG_LONG__
#define SIZEOF_VOID_P __SIZEOF_POINTER__
#define SIZEOF_SIZE_T __SIZEOF_SIZE_T__
#define SIZEOF_WCHAR_T __SIZEOF_WCHAR_T__
#define SIZEOF_DOUBLE __SIZEOF_DOUBLE__
#define SIZEOF_FLOAT __SIZEOF_FLOAT__
#define ALIGNOF_SIZE_T __SIZEOF_SIZE_T__
#define ALIGNOF_LONG __SIZEOF_LONG__

#ifdef _WIN32
// Data of python3.dll is imported, and the module exports its first function.
#define MS_WINDOWS 1
#define MS_WIN64 1
#define Py_ENABLE_SHARED 1
#define HAVE_DECLSPEC_DLL 1
#define PLATLIBDIR "DLLs"
#else
#define _GNU_SOURCE 1  // for alloca, which cffi calls
#define HAVE_UNISTD_H 1
#define HAVE_SSIZE_T 1
#define PLATLIBDIR "lib"
#endif

#endif  // Py_PYCONFIG_H
