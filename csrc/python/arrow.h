// arrow.h: the part of the Arrow C data interface that needs C: capsules, and
// the release of a struct, which a consumer may call in any thread.
//
// Each struct keeps its owner, a Python object that has all that it points to,
// because a consumer may move it elsewhere, and each child by itself. Once the
// interpreter has ended, there is nothing to give back.
static void let_go(void *owner) {
  if (Py_IsInitialized()) {
    const PyGILState_STATE state = PyGILState_Ensure();
    Py_DECREF((PyObject *)owner);
    PyGILState_Release(state);
  }
}

#define ARROW_KIND(kind, name)                                              \
  static void release_##name(struct kind *self) {                           \
    for (int64_t i = 0; i < self->n_children; i++) {                        \
      if (self->children[i]->release != NULL) {                             \
        self->children[i]->release(self->children[i]);                      \
      }                                                                     \
    }                                                                       \
    self->release = NULL;                                                   \
    let_go(self->private_data);                                             \
  }                                                                         \
  static void drop_##name(PyObject *capsule) {                              \
    struct kind *self = PyCapsule_GetPointer(capsule, "arrow_" #name);      \
    PyObject *owner = PyCapsule_GetContext(capsule);                        \
    if (self->release != NULL) { /* no consumer has moved it */             \
      self->release(self);                                                  \
    }                                                                       \
    Py_DECREF(owner);                                                       \
  }                                                                         \
  /* own_...(address, owner, top) makes a struct keep its owner; of the top \
     one, which releases its children, it returns the capsule. */           \
  static PyObject *own_##name(PyObject *module, PyObject *arguments) {      \
    (void)module;                                                           \
    unsigned long long at = 0;                                              \
    PyObject *owner = NULL;                                                 \
    int top = 0;                                                            \
    if (!PyArg_ParseTuple(arguments, "KOp", &at, &owner, &top)) {           \
      return NULL;                                                          \
    }                                                                       \
    struct kind *self = (struct kind *)(uintptr_t)at;                       \
    PyObject *made = top ? PyCapsule_New(self, "arrow_" #name, drop_##name) \
                         : Py_NewRef(Py_None);                              \
    if (made != NULL) {                                                     \
      self->release = release_##name;                                       \
      self->private_data = Py_NewRef(owner);                                \
      if (top) {                                                            \
        PyCapsule_SetContext(made, Py_NewRef(owner));                       \
      }                                                                     \
    }                                                                       \
    return made;                                                            \
  }                                                                         \
  static PyMethodDef own_##name##_method = {"own_" #name, own_##name,       \
                                            METH_VARARGS, NULL};

ARROW_KIND(ArrowSchema, schema)
ARROW_KIND(ArrowArray, array)
