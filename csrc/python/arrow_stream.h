// arrow_stream.h: the Arrow C stream interface for an answer, which is one
// array. Like arrow.h it uses only Python's limited API.
//
// The private data of a stream is a Python function. It returns a new capsule
// with the schema (called with True) or with the next array (called with
// False), or None after the last one.

// Moves the struct out of the capsule that the function returns. Returns 0, or
// an errno; the struct is zero after the last array, and on failure.
static int stream_fill(void *function, PyObject *schema, const char *name,
                       void *out, size_t len) {
  int result = EIO;
  memset(out, 0, len);
  if (!Py_IsInitialized()) {
    return result;
  }
  const PyGILState_STATE state = PyGILState_Ensure();
  PyObject *made = PyObject_CallFunctionObjArgs(function, schema, NULL);
  if (made == Py_None) {
    result = 0;
  } else if (made != NULL && PyCapsule_IsValid(made, name)) {
    void *given = PyCapsule_GetPointer(made, name);
    memcpy(out, given, len);
    // Without the release callback, the capsule leaves the struct alone.
    if (schema == Py_True) {
      ((struct ArrowSchema *)given)->release = NULL;
    } else {
      ((struct ArrowArray *)given)->release = NULL;
    }
    result = 0;
  }
  if (made == NULL) {
    PyErr_WriteUnraisable(function);
  }
  Py_XDECREF(made);
  PyGILState_Release(state);
  return result;
}

static int stream_schema(struct ArrowArrayStream *self,
                         struct ArrowSchema *out) {
  return stream_fill(self->private_data, Py_True, "arrow_schema", out,
                     sizeof *out);
}

static int stream_next(struct ArrowArrayStream *self, struct ArrowArray *out) {
  return stream_fill(self->private_data, Py_False, "arrow_array", out,
                     sizeof *out);
}

static const char *stream_error(struct ArrowArrayStream *self) {
  (void)self;
  return "pinverify could not make the struct: no memory, or Python has ended";
}

static void release_stream(struct ArrowArrayStream *self) {
  self->release = NULL;
  let_go(self->private_data);
}

static void drop_stream(PyObject *capsule) {
  struct ArrowArrayStream *self =
      PyCapsule_GetPointer(capsule, "arrow_array_stream");
  if (self->release != NULL) {  // no consumer has moved it
    self->release(self);
  }
  PyMem_Free(self);
}

// arrow_stream(function) returns a capsule with a stream of this function.
static PyObject *arrow_stream(PyObject *module, PyObject *function) {
  (void)module;
  struct ArrowArrayStream *self = PyMem_Calloc(1, sizeof *self);
  if (self == NULL) {
    return PyErr_NoMemory();
  }
  PyObject *made = PyCapsule_New(self, "arrow_array_stream", drop_stream);
  if (made == NULL) {
    PyMem_Free(self);
    return NULL;
  }
  *self = (struct ArrowArrayStream){stream_schema, stream_next, stream_error,
                                    release_stream, Py_NewRef(function)};
  return made;
}

static PyMethodDef arrow_stream_method = {"arrow_stream", arrow_stream, METH_O,
                                          NULL};
