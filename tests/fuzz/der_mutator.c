// der_mutator.c: damages certificates, as der_mutator.h explains.
#include "der_mutator.h"

#include <stdbool.h>
#include <string.h>

enum {
  MAX_ELEMENTS = 256,  // of which those of the frame come first
  NUM_FRAME = 32,
  MAX_DEPTH = 16,
  ROOM = 1 << 17  // for one new element
};

// SplitMix64 (Steele, Lea and Flood, 2014).
static uint64_t next_random(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

uint64_t random_below(uint64_t *state, uint64_t limit) {
  const uint64_t z = next_random(state);
  return limit == 0 ? 0 : z % limit;
}

// ---- the tree ---------------------------------------------------------------

typedef struct element {
  size_t start;  // where its tag is
  size_t body;   // where its content begins
  size_t end;    // behind it
  int parent;    // or -1
} element;

typedef struct tree {
  element elements[MAX_ELEMENTS];  // parents before children, level by level
  int num_elements;
} tree;

// Reads one header by lenient rules, lengths of any form but the indefinite.
static bool read_element(const uint8_t *data, size_t at, size_t end,
                         element *out) {
  out->start = at;
  if (end - at < 2) {
    return false;
  }
  bool more = (data[at++] & 0x1f) == 0x1f;
  while (more && at < end) {
    more = (data[at++] & 0x80) != 0;
  }
  if (at >= end) {
    return false;
  }
  const uint8_t first = data[at++];
  size_t len = first;
  if (first >= 0x80) {
    const size_t num_octets = first & 0x7f;
    if (num_octets < 1 || num_octets > 8 || num_octets > end - at) {
      return false;
    }
    len = 0;
    for (size_t i = 0; i < num_octets; i++) {
      len = len << 8 | data[at++];
    }
  }
  out->body = at;
  out->end = at + len;
  return len <= end - at;
}

static void read_children(const uint8_t *data, tree *out, int parent) {
  size_t at = out->elements[parent].body;
  const size_t end = out->elements[parent].end;
  while (at < end && out->num_elements < MAX_ELEMENTS) {
    element *child = &out->elements[out->num_elements];
    if (!read_element(data, at, end, child)) {
      return;
    }
    child->parent = parent;
    out->num_elements++;
    at = child->end;
  }
}

static void read_tree(const uint8_t *data, size_t len, tree *out) {
  out->num_elements = 0;
  if (!read_element(data, 0, len, &out->elements[0])) {
    return;
  }
  out->elements[0].parent = -1;
  out->num_elements = 1;
  for (int i = 0; i < out->num_elements; i++) {
    if ((data[out->elements[i].start] & 0x20) != 0) {
      read_children(data, out, i);
    }
  }
}

// Any element, and half of the time one of the frame.
static int pick(const tree *in, uint64_t *random) {
  int limit = in->num_elements;
  if (limit > NUM_FRAME && random_below(random, 2) == 0) {
    limit = NUM_FRAME;
  }
  return (int)random_below(random, (uint64_t)limit);
}

// ---- writing ----------------------------------------------------------------

typedef struct writer {
  uint8_t bytes[ROOM];
  size_t len;
} writer;

static void put(writer *out, const uint8_t *bytes, size_t len) {
  if (len > 0 && len <= ROOM - out->len) {
    memcpy(out->bytes + out->len, bytes, len);
    out->len += len;
  }
}

static void put_byte(writer *out, unsigned byte) {
  const uint8_t b = (uint8_t)byte;
  put(out, &b, 1);
}

static void put_length_octets(writer *out, size_t len, size_t num_octets) {
  put_byte(out, 0x80 | (unsigned)num_octets);
  for (size_t i = num_octets; i > 0; i--) {
    put_byte(out, i > 8 ? 0 : (unsigned)(len >> (8 * (i - 1))) & 0xff);
  }
}

// The minimal length.
static void put_length(writer *out, size_t len) {
  size_t num_octets = 0;
  for (size_t left = len; left > 0; left >>= 8) {
    num_octets++;
  }
  if (len < 0x80) {
    put_byte(out, (unsigned)len);
  } else {
    put_length_octets(out, len, num_octets);
  }
}

static size_t tag_len(const uint8_t *data, const element *e) {
  size_t len = 1;
  if ((data[e->start] & 0x1f) == 0x1f) {
    while ((data[e->start + len] & 0x80) != 0) {
      len++;
    }
    len++;
  }
  return len;
}

// ---- damage to one element --------------------------------------------------

typedef struct source {
  const uint8_t *data;
  element e;
  uint64_t *random;
} source;

static unsigned any_of(uint64_t *random, const uint8_t *bytes, size_t num) {
  return bytes[random_below(random, num)];
}

static void put_whole(writer *out, const source *in) {
  put(out, in->data + in->e.start, in->e.end - in->e.start);
}

static void put_content(writer *out, const source *in) {
  put(out, in->data + in->e.body, in->e.end - in->e.body);
}

static void put_tag(writer *out, const source *in) {
  put(out, in->data + in->e.start, tag_len(in->data, &in->e));
}

static void change_tag(writer *out, const source *in) {
  static const uint8_t tags[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
                                 0x0a, 0x0c, 0x13, 0x17, 0x18, 0x1e, 0x20,
                                 0x23, 0x24, 0x30, 0x31, 0x80, 0x81, 0x82,
                                 0x83, 0xa0, 0xa1, 0xa2, 0xa3, 0x60, 0xff};
  const uint8_t old = in->data[in->e.start];
  switch (random_below(in->random, 4)) {
    case 0:
      put_byte(out, old ^ 0x20);  // primitive or constructed
      break;
    case 1:  // the high form, minimal or padded
      put_byte(out, old | 0x1fu);
      for (uint64_t i = random_below(in->random, 3); i > 0; i--) {
        put_byte(out, 0x80);
      }
      put_byte(out, old & 0x1f);
      break;
    default:
      put_byte(out, any_of(in->random, tags, sizeof tags));
  }
  const size_t skipped = tag_len(in->data, &in->e);
  put(out, in->data + in->e.start + skipped, in->e.end - in->e.start - skipped);
}

static void change_length(writer *out, const source *in) {
  static const uint8_t octets[] = {1, 2, 3, 4, 5, 8, 9, 126};
  const size_t len = in->e.end - in->e.body;
  const uint64_t choice = random_below(in->random, 8);
  put_tag(out, in);
  if (choice < 4) {  // not minimal
    put_length_octets(out, len, any_of(in->random, octets, sizeof octets));
  } else if (choice == 4) {  // one too many or too few
    put_length(out, random_below(in->random, 2) == 0 ? len + 1 : len - 1);
  } else if (choice == 5) {  // very long
    put_byte(out, any_of(in->random, octets, sizeof octets) | 0x80);
    put(out, (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9);
  } else {
    put_byte(out, 0x80);  // indefinite
  }
  put_content(out, in);
  if (choice == 6) {
    put(out, (const uint8_t *)"\0\0", 2);
  }
}

// The value in pieces, as BER allows for strings: 23 80 03 .. 03 .. 00 00.
static void split_string(writer *out, const source *in) {
  const size_t len = in->e.end - in->e.body;
  const size_t first = (size_t)random_below(in->random, len + 1);
  put_byte(out, in->data[in->e.start] | 0x20u);
  put_byte(out, 0x80);
  put_byte(out, in->data[in->e.start]);
  put_length(out, first);
  put(out, in->data + in->e.body, first);
  put_byte(out, in->data[in->e.start]);
  put_length(out, len - first);
  put(out, in->data + in->e.body + first, len - first);
  put(out, (const uint8_t *)"\0\0", 2);
}

// The element inside a new one.
static void wrap(writer *out, const source *in) {
  static const uint8_t tags[] = {0x30, 0x31, 0xa0, 0xa1, 0xa3, 0x24};
  put_byte(out, any_of(in->random, tags, sizeof tags));
  put_length(out, in->e.end - in->e.start);
  put_whole(out, in);
}

static void change_content(writer *out, const source *in) {
  static const uint8_t firsts[] = {0x00, 0x01, 0x02, 0x07,
                                   0x08, 0x7f, 0x80, 0xff};
  size_t from = in->e.body;
  size_t to = in->e.end;
  const uint64_t choice = random_below(in->random, 7);
  const size_t extra = choice <= 1 ? 1 : 0;
  if (choice == 2 && from < to) {
    from++;  // the first octet is missing
  } else if (choice == 3 && from < to) {
    to--;
  } else if (choice == 4) {
    to = from + (size_t)random_below(in->random, to - from + 1);
  }
  put_tag(out, in);
  put_length(out, to - from + extra);
  const size_t body = out->len;
  if (choice == 0) {
    put_byte(out, any_of(in->random, firsts, sizeof firsts));
  }
  put(out, in->data + from, to - from);
  if (choice == 1) {
    put_byte(out, any_of(in->random, firsts, sizeof firsts));
  } else if (choice == 5 && out->len > body) {
    out->bytes[body] = (uint8_t)any_of(in->random, firsts, sizeof firsts);
  } else if (choice == 6 && out->len > body) {
    const size_t at = (size_t)random_below(in->random, out->len - body);
    out->bytes[body + at] = (uint8_t)random_below(in->random, 256);
  }
}

// An element that is short and makes sense somewhere.
static void put_small(writer *out, uint64_t *random) {
  static const struct {
    uint8_t len;
    uint8_t bytes[15];
  } smalls[] = {
      {1, {0x00}},
      {2, {0x00, 0x00}},
      {2, {0x05, 0x00}},
      {3, {0x05, 0x01, 0x00}},
      {2, {0x30, 0x00}},
      {2, {0x31, 0x00}},
      {2, {0x04, 0x00}},
      {3, {0x03, 0x01, 0x00}},
      {4, {0x03, 0x02, 0x00, 0x01}},
      {3, {0x02, 0x01, 0x00}},
      {3, {0x02, 0x01, 0x02}},
      {3, {0x01, 0x01, 0xff}},
      {4, {0x06, 0x02, 0x2a, 0x03}},
      {4, {0x06, 0x02, 0x80, 0x01}},
      {5, {0xa0, 0x03, 0x02, 0x01, 0x00}},
      {5, {0xa0, 0x03, 0x02, 0x01, 0x01}},
      {5, {0xa0, 0x03, 0x02, 0x01, 0x02}},
      {5, {0xa0, 0x03, 0x02, 0x01, 0x03}},
      {4, {0x81, 0x02, 0x00, 0x69}},
      {4, {0x82, 0x02, 0x00, 0x73}},
      {5, {0xa1, 0x03, 0x03, 0x01, 0x00}},
      {4, {0xa3, 0x02, 0x30, 0x00}},
      {15,
       {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
        0x0b, 0x05, 0x00}},
  };
  const size_t i =
      (size_t)random_below(random, sizeof smalls / sizeof smalls[0]);
  put(out, smalls[i].bytes, smalls[i].len);
}

// An element of another certificate: now and then its key, whole.
static void put_donated(writer *out, const uint8_t *donor, const tree *in,
                        uint64_t *random) {
  int i = pick(in, random);
  // The frame is [0] Certificate, [1..3] its parts, from [4] on those of the
  // TBSCertificate: the key is the seventh of them, or the sixth without a
  // version.
  if (random_below(random, 2) == 0 && in->num_elements > 10) {
    i = 9 + (int)random_below(random, 2);
  }
  const element *e = &in->elements[i];
  put(out, donor + e->start, e->end - e->start);
}

// ---- damage to a row of elements --------------------------------------------

// What replaces data[start .. end), whose parent is `parent`.
typedef struct change {
  size_t start;
  size_t end;
  int parent;
} change;

static const element *sibling(const tree *in, int i, int step) {
  const int other = i + step;
  return other >= 0 && other < in->num_elements &&
                 in->elements[other].parent == in->elements[i].parent
             ? &in->elements[other]
             : NULL;
}

// The element and the next change places.
static void swap(writer *out, const source *in, change *place,
                 const element *next) {
  if (next != NULL) {
    put(out, in->data + next->start, next->end - next->start);
    place->end = next->end;
  }
  put_whole(out, in);
}

// The element moves to the end of its row, or to the front.
static void move(writer *out, const source *in, change *place,
                 const element *parent) {
  if (parent != NULL && random_below(in->random, 2) == 0) {
    put(out, in->data + in->e.end, parent->end - in->e.end);
    place->end = parent->end;
    put_whole(out, in);
  } else if (parent != NULL) {
    put_whole(out, in);
    put(out, in->data + parent->body, in->e.start - parent->body);
    place->start = parent->body;
  } else {
    put_whole(out, in);
  }
}

// Decides what replaces element `i`.
static change damage(writer *out, const uint8_t *data, const tree *in, int i,
                     const uint8_t *donor, const tree *donated,
                     uint64_t *random) {
  const element *e = &in->elements[i];
  const source from = {data, *e, random};
  change place = {e->start, e->end, e->parent};
  switch (random_below(random, 14)) {
    case 0:
      change_tag(out, &from);
      break;
    case 1:
    case 2:
      change_length(out, &from);
      break;
    case 3:
      split_string(out, &from);
      break;
    case 4:
      wrap(out, &from);
      break;
    case 5:
      put_content(out, &from);  // unwrapped
      break;
    case 6:
    case 7:
      change_content(out, &from);
      break;
    case 8:
      break;  // removed
    case 9:
      put_whole(out, &from);
      put_whole(out, &from);
      break;
    case 10:
      swap(out, &from, &place, sibling(in, i, 1));
      break;
    case 11:
      move(out, &from, &place, e->parent < 0 ? NULL : &in->elements[e->parent]);
      break;
    case 12:  // something small before or behind it
      if (random_below(random, 2) == 0) {
        put_small(out, random);
        put_whole(out, &from);
      } else {
        put_whole(out, &from);
        put_small(out, random);
      }
      break;
    default:  // something of another certificate, in its place or beside it
      if (random_below(random, 2) == 0) {
        put_whole(out, &from);
      }
      if (donated->num_elements > 0) {
        put_donated(out, donor, donated, random);
      } else {
        put_small(out, random);
      }
  }
  return place;
}

// ---- putting it in ----------------------------------------------------------

typedef struct buffer {
  uint8_t *data;
  size_t len;
  size_t room;
} buffer;

// Replaces data[start .. end); changes nothing if there is no room.
static bool splice(buffer *out, size_t start, size_t end, const uint8_t *bytes,
                   size_t len) {
  if (len > end - start && len - (end - start) > out->room - out->len) {
    return false;
  }
  memmove(out->data + start + len, out->data + end, out->len - end);
  if (len > 0) {
    memcpy(out->data + start, bytes, len);
  }
  out->len = out->len - (end - start) + len;
  return true;
}

// Makes the lengths of all elements around a change fit, from the inside out.
// `growth` may be negative; unsigned arithmetic wraps to the same.
static void fit_lengths(buffer *out, const tree *in, int i, size_t growth) {
  static writer header;
  for (; i >= 0; i = in->elements[i].parent) {
    const element *e = &in->elements[i];
    header.len = 0;
    put(&header, out->data + e->start, tag_len(out->data, e));
    put_length(&header, e->end - e->body + growth);
    if (!splice(out, e->start, e->body, header.bytes, header.len)) {
      return;
    }
    growth += header.len - (e->body - e->start);
  }
}

static void flip_a_byte(buffer *out, uint64_t *random) {
  if (out->len > 0) {
    const size_t at = (size_t)random_below(random, out->len);
    out->data[at] = (uint8_t)next_random(random);
  }
}

size_t der_mutate(uint8_t *data, size_t len, size_t room, const uint8_t *donor,
                  size_t donor_len, uint64_t *random_state) {
  static tree mine;
  static tree donated;
  static writer replacement;
  buffer out = {data, len, room};
  read_tree(data, len, &mine);
  read_tree(donor, donor_len, &donated);
  if (mine.num_elements == 0 || random_below(random_state, 32) == 0) {
    flip_a_byte(&out, random_state);
    return out.len;
  }
  replacement.len = 0;
  const change place =
      damage(&replacement, data, &mine, pick(&mine, random_state), donor,
             &donated, random_state);

  if (splice(&out, place.start, place.end, replacement.bytes,
             replacement.len) &&
      random_below(random_state, 16) != 0) {
    fit_lengths(&out, &mine, place.parent,
                replacement.len - (place.end - place.start));
  }
  return out.len;
}
