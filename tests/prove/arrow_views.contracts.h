// arrow_views.contracts.h: the contracts of the functions of arrow_views.h. A
// producer is believed about where its arrays and buffers are and how long they
// are; about nothing that is written in them.
//
// clang-format off

// A planted bug shows itself with few rows and bytes, too, and CBMC takes less
// memory to tell how.
#if defined(PLANTED)
#define VIEWS_MAX ((size_t)64)
#else
#define VIEWS_MAX PV_PROVED_LEN_MAX
#endif

#define NUM_ROWS(v) ((v)->first + (v)->num)

MAY_READ_BEGIN
// The length of a buffer; it may be negative.
static inline int64_t spec_length_of(const arrow_views *views, size_t buffer) {
  return (int64_t)LE64(views->lengths + 8 * buffer);
}

// The number of the buffer that a view names; it may be negative.
static inline int32_t spec_buffer_of(const arrow_views *views, size_t i) {
  return (int32_t)LE32(views->at + 16 * i + 8);
}

// All bytes of a string are there.
static inline bool spec_is_string(const pv_span *span) {
  return span->len == 0 || __CPROVER_r_ok(span->data, span->len);
}
MAY_READ_END

// A buffer is an object of its own, if there is one: README.md explains why number
// `some` is each of them.
#define IS_BUFFER(p, len)       \
  ((p) == NULL || (len) <= 0 || \
   ((len) <= (int64_t)VIEWS_MAX && FRESH(p, (size_t)(len))))
#define IS_VIEWS(v)                                                    \
  (FRESH(v, sizeof *(v)) && (v)->first <= VIEWS_MAX &&                 \
   (v)->num <= VIEWS_MAX && FRESH((v)->at, 16 * NUM_ROWS(v)) &&        \
   ((v)->valid == NULL || FRESH((v)->valid, (NUM_ROWS(v) + 7) / 8)) && \
   (v)->num_buffers <= (size_t)1 << 31 &&                              \
   FRESH((v)->buffers, 8 * (v)->num_buffers) &&                        \
   FRESH((v)->lengths, 8 * (v)->num_buffers) &&                        \
   (some >= (v)->num_buffers ||                                        \
    IS_BUFFER((v)->buffers[some], spec_length_of(v, some))))

// Only in the proof about one view: it names that buffer, or none that exists,
// and its string lies inside. To those that copy it, a string is an object of its
// own: who stays inside such an object also stays inside a part of a buffer.
#if defined(ONE_VIEW)
#define IS_STRING(span) spec_is_string(span)
#define NAMES_SOME(v, i) \
  (spec_buffer_of(v, i) < 0 || (size_t)spec_buffer_of(v, i) == some)
#else
#define IS_STRING(span) ((span)->len == 0 || FRESH((span)->data, (span)->len))
#define NAMES_SOME(v, i) true
#endif

static int arrow_view(pv_span *out, const arrow_views *views, size_t i)
    REQUIRES(IS_OUT(out) && IS_VIEWS(views) && i < NUM_ROWS(views))
    REQUIRES(NAMES_SOME(views, i))
    ASSIGNS(*out)
    ENSURES(RESULT == 0 || RESULT == 1)
    ENSURES(IMPLIES(RESULT == 0, out->len == 0))
    ENSURES(out->len <= INT32_MAX)
    ENSURES(IS_STRING(out));

int64_t arrow_views_len(const arrow_views *views)
    REQUIRES(IS_VIEWS(views))
    ASSIGNS()
    ENSURES(RESULT >= -1);

int arrow_views_copy(uint8_t *out, size_t out_len, uint64_t *out_offsets,
                     const arrow_views *views)
    REQUIRES(IS_VIEWS(views) && out_len <= VIEWS_MAX)
    REQUIRES(FRESH(out, out_len) && FRESH(out_offsets, 8 * (views->num + 1)))
    ASSIGNS(BYTES(out, out_len), WHOLE(out_offsets))
    ENSURES(RESULT == 0 || RESULT == 1)
    ENSURES(IMPLIES(RESULT == 1 && some <= later && later <= views->num,
                    out_offsets[some] <= out_offsets[later] &&
                        out_offsets[later] <= out_len));
