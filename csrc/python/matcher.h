// matcher.h: from a certificate to "pinned or not" in one call of Python's own
// kind. cffi's way there converts four arguments and needs a Python function
// around it that raises errors; that takes longer than the answer.
//
// It is part of the compiled module, not of the core: build_cffi.py includes it
// in what cffi generates. It keeps to Python's limited API, and to the GIL, as
// a call of this length should.

// The function that Python calls. `self` is the tuple (packed pins, otherwise):
// bytes, and the function for what is not a certificate in bytes, which reads
// or refuses it.
static PyObject *is_pinned(PyObject *self, PyObject *cert) {
  if (PyBytes_CheckExact(cert)) {
    PyObject *packed = PyTuple_GetItem(self, 0);
    // Packed pins are filled with the last one, so each row counts as a pin.
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
    "Say whether the SPKI of a DER certificate is one of the pins."};

// matcher(packed, otherwise): that function, for some pins.
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

// cffi makes the module and leaves no place to add to it, so it is added to
// afterwards. Returns whether that worked.
static int add_matcher(void) {
  PyObject *module = PyImport_ImportModule("pinverify._core");
  PyObject *function = PyCFunction_NewEx(&matcher_method, NULL, NULL);
  const int failed =
      module == NULL || function == NULL ||
      PyObject_SetAttrString(module, matcher_method.ml_name, function) != 0;
  Py_XDECREF(function);
  Py_XDECREF(module);
  PyErr_Clear();
  return !failed;
}
