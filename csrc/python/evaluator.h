// evaluator.h: the decision about one peer in one call from Python, and the
// object that it returns. Through cffi, ten calls convert the arguments and
// make Python objects of the fields: that takes far longer than the decision.
//
// Like matcher.h it uses only Python's limited API, and keeps the GIL.
#include <stddef.h>
#include <structmember.h>

// Longer chains take the slow path. Verified chains have two to five.
#define CHAIN_MAX 16

// An Answer is the base class of Report. It refers to plain values only, never
// to anything that refers to it, so the garbage collector need not know it.
enum { RAW, SPKIS, GIVEN, DIGEST, DETAIL, HOST, SEEN, NUM_PARTS };
typedef struct answer {
  PyObject_HEAD
  PyObject *parts[NUM_PARTS];
} answer;

#define PART(name, number) \
  {name, T_OBJECT, offsetof(answer, parts[number]), 0, NULL}

static PyMemberDef answer_members[] = {
    PART("_raw", RAW),        // bytes: a pv_report
    PART("_spkis", SPKIS),    // bytes: 32 for each certificate
    PART("_given", GIVEN),    // the host, as the caller wrote it
    PART("_digest", DIGEST),  // bytes: that of the policy
    PART("_detail", DETAIL),  // a text that a pv_report cannot hold, or None
    PART("_host", HOST),      // the canonical host once it is known, or None
    PART("_seen", SEEN),      // what an adapter saw of the connection, or None
    {NULL, 0, 0, 0, NULL}};

static void answer_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  for (size_t i = 0; i < NUM_PARTS; i++) {
    Py_XDECREF(((answer *)self)->parts[i]);
  }
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

// Returns true if `object` is bytes, or a str in ASCII, and gives its bytes.
static int plain_bytes(pv_span *out, PyObject *object, int may_be_text) {
  Py_ssize_t len = 0;
  if (PyBytes_CheckExact(object)) {
    out->data = (const uint8_t *)PyBytes_AsString(object);
    len = PyBytes_Size(object);
  } else if (may_be_text && PyUnicode_CheckExact(object)) {
    out->data = (const uint8_t *)PyUnicode_AsUTF8AndSize(object, &len);
    // Only ASCII has as many bytes as characters.
    len = out->data != NULL && len == PyUnicode_GetLength(object) ? len : 0;
  }
  out->len = (size_t)len;
  return len > 0;
}

// Returns a new report of `type`, with the answer of pv_evaluate.
static PyObject *answered(PyTypeObject *type, PyObject *policy,
                          const pv_span *host, const pv_span *certs,
                          Py_ssize_t num_certs, int64_t now) {
  PyObject *self = PyType_GenericAlloc(type, 0);
  if (self == NULL) {
    return NULL;
  }
  PyObject **parts = ((answer *)self)->parts;
  parts[RAW] = PyBytes_FromStringAndSize(NULL, sizeof(pv_report));
  parts[SPKIS] = PyBytes_FromStringAndSize(NULL, PV_DIGEST_LEN * num_certs);
  if (parts[RAW] == NULL || parts[SPKIS] == NULL ||
      pv_evaluate((pv_report *)PyBytes_AsString(parts[RAW]),
                  (uint8_t *)PyBytes_AsString(parts[SPKIS]),
                  (const pv_policy *)PyBytes_AsString(policy),
                  (const char *)host->data, host->len, certs,
                  (size_t)num_certs, now) != PV_OK) {
    Py_DECREF(self);
    return NULL;
  }
  return self;
}

// evaluate(host, chain, seconds) returns the report of a peer. `self` is (type,
// pv_policy, digest, otherwise). `otherwise` is the slow path, for arguments
// that are not plain: a host that is empty or not ASCII, certificates that are
// empty or not bytes, a long chain, and everything that raises an exception.
static PyObject *evaluate(PyObject *self, PyObject *const *args,
                          Py_ssize_t num) {
  pv_span host = {NULL, 0}, certs[CHAIN_MAX];
  PyObject *result = NULL, *chain = NULL;
  if (num != 3) {
    return PyErr_Format(PyExc_TypeError, "expected host, chain and seconds");
  }
  if (PyList_CheckExact(args[1]) || PyTuple_CheckExact(args[1])) {
    chain = PySequence_Tuple(args[1]);  // another thread may change a list
  }
  const Py_ssize_t num_certs = chain == NULL ? -1 : PyTuple_Size(chain);
  int plain = 0 <= num_certs && num_certs <= CHAIN_MAX &&
              (args[0] == Py_None || plain_bytes(&host, args[0], 1));
  for (Py_ssize_t i = 0; plain && i < num_certs; i++) {
    plain = plain_bytes(&certs[i], PyTuple_GetItem(chain, i), 0);
  }
  const int64_t now = plain ? PyLong_AsLongLong(args[2]) : 0;
  if (plain && !PyErr_Occurred()) {
    result = answered((PyTypeObject *)PyTuple_GetItem(self, 0),
                      PyTuple_GetItem(self, 1), &host, certs, num_certs, now);
  }
  Py_XDECREF(chain);
  if (result == NULL) {
    PyErr_Clear();
    return PyObject_CallFunctionObjArgs(PyTuple_GetItem(self, 3), args[0],
                                        args[1], args[2], NULL);
  }
  ((answer *)result)->parts[GIVEN] = Py_NewRef(args[0]);
  ((answer *)result)->parts[DIGEST] = Py_NewRef(PyTuple_GetItem(self, 2));
  return result;
}

static PyMethodDef evaluate_method = {
    "evaluate", (PyCFunction)(void (*)(void))evaluate, METH_FASTCALL, NULL};

// Report._evaluator(pv_policy, digest, otherwise) returns that function, whose
// reports are of this class; `pv_policy` is its bytes.
static PyObject *evaluator(PyObject *type, PyObject *args) {
  PyObject *policy = NULL, *digest = NULL, *otherwise = NULL;
  if (!PyArg_ParseTuple(args, "SSO", &policy, &digest, &otherwise)) {
    return NULL;
  }
  if (PyBytes_Size(policy) != sizeof(pv_policy)) {
    return PyErr_Format(PyExc_ValueError, "not a pv_policy");
  }
  PyObject *self = PyTuple_Pack(4, type, policy, digest, otherwise);
  PyObject *function =
      self == NULL ? NULL : PyCFunction_NewEx(&evaluate_method, self, NULL);
  Py_XDECREF(self);
  return function;
}

static PyMethodDef answer_methods[] = {
    {"_evaluator", evaluator, METH_VARARGS | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL}};
static PyType_Slot answer_slots[] = {
    {Py_tp_members, answer_members}, {Py_tp_methods, answer_methods},
    {Py_tp_dealloc, answer_dealloc}, {0, NULL}};
static PyType_Spec answer_spec = {
    "pinverify._core.Answer", sizeof(answer), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, answer_slots};
