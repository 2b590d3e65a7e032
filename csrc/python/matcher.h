// matcher.h: a Python function, written in C, that tells whether a certificate
// is pinned. A call through cffi converts four arguments and needs a Python
// function around it that raises errors, which takes longer than the answer.
//
// build_cffi.py includes it in cffi's output; it is no part of the core. It
// uses only Python's limited API, and keeps the GIL: the call is short.

// The function that Python calls. `self` is the tuple (packed pins, otherwise):
// bytes, and the slow path, a function for arguments that are not bytes or not
// a certificate.
static PyObject *is_pinned(PyObject *self, PyObject *cert) {
  if (PyBytes_CheckExact(cert)) {
    PyObject *packed = PyTuple_GetItem(self, 0);
    // Packed pins are filled up with the last pin, so every row is a pin.
    const size_t num_rows = (size_t)PyBytes_Size(packed) / PV_DIGEST_LEN;
    pv_status status;
    const uint32_t answer = pv_cert_is_pinned(
        &status, (const uint8_t *)PyBytes_AsString(packed), num_rows,
        (const uint8_t *)PyBytes_AsString(cert), (size_t)PyBytes_Size(cert));
    if (status == PV_OK) {
      return PyBool_FromLong((long)answer);
    }
  }
  return PyObject_CallFunctionObjArgs(PyTuple_GetItem(self, 1), cert, NULL);
}

static PyMethodDef is_pinned_method = {
    "is_pinned", is_pinned, METH_O,
    "Return True if the SPKI of a DER certificate is one of the pins."};

// matcher(packed, otherwise) returns that function for some pins.
static PyObject *matcher(PyObject *module, PyObject *arguments) {
  (void)module;
  PyObject *packed = NULL;
  PyObject *otherwise = NULL;
  if (!PyArg_ParseTuple(arguments, "SO", &packed, &otherwise)) {
    return NULL;
  }
  return PyCFunction_NewEx(&is_pinned_method, arguments, NULL);
}

static PyMethodDef matcher_method = {"matcher", matcher, METH_VARARGS, NULL};
