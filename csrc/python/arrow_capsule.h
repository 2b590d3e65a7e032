// arrow_capsule.h: the address of a struct that another library hands over.

// arrow_address(capsule, name) returns the address of the struct, which the
// capsule keeps.
static PyObject *arrow_address(PyObject *module, PyObject *arguments) {
  (void)module;
  PyObject *capsule = NULL;
  const char *name = NULL;
  if (!PyArg_ParseTuple(arguments, "Os", &capsule, &name)) {
    return NULL;
  }
  if (!PyCapsule_IsValid(capsule, name)) {
    return PyErr_Format(PyExc_TypeError, "expected a capsule called %s", name);
  }
  return PyLong_FromVoidPtr(PyCapsule_GetPointer(capsule, name));
}

static PyMethodDef arrow_address_method = {"arrow_address", arrow_address,
                                           METH_VARARGS, NULL};
