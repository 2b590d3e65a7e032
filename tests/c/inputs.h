// inputs.h: reads the files of a folder, each into a block of just its size,
// for the programs beside it.
#ifndef PINVERIFY_TESTS_INPUTS_H
#define PINVERIFY_TESTS_INPUTS_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_LEN = 4096 };

typedef struct input {
  char *path;
  uint8_t *data;  // a block of exactly `len` bytes
  size_t len;
} input;

typedef struct folder {
  input *inputs;
  size_t num_inputs;
} folder;

static inline void *allocate(size_t len) {
  void *block = malloc(len);
  if (block == NULL && len > 0) {
    fprintf(stderr, "out of memory\n");
    exit(2);
  }
  return block;
}

// The bytes in a block of exactly that size. The caller frees it.
static inline uint8_t *exact_copy(const void *bytes, size_t len) {
  uint8_t *copy = allocate(len);
  if (len > 0) {
    memcpy(copy, bytes, len);
  }
  return copy;
}

static inline bool read_input(input *out, const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    return false;
  }
  uint8_t *bytes = NULL;
  size_t len = 0, got = 0;
  do {
    bytes = realloc(bytes, len + 65536);
    if (bytes == NULL) {
      fprintf(stderr, "out of memory\n");
      exit(2);
    }
    got = fread(bytes + len, 1, 65536, file);
    len += got;
  } while (got > 0);
  const bool failed = ferror(file) != 0;  // a folder, for one
  fclose(file);
  if (!failed) {
    const size_t path_size = strlen(path) + 1;
    *out = (input){(char *)exact_copy(path, path_size), exact_copy(bytes, len),
                   len};
  }
  free(bytes);
  return !failed;
}

static inline folder read_folder(const char *parent, const char *name) {
  folder out = {NULL, 0};
  char path[PATH_LEN];
  snprintf(path, sizeof path, "%s/%s", parent, name);
  DIR *dir = opendir(path);
  if (dir == NULL) {
    return out;
  }
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    input one;
    const int n =
        snprintf(path, sizeof path, "%s/%s/%s", parent, name, entry->d_name);
    if (n < 0 || (size_t)n >= sizeof path || !read_input(&one, path)) {
      continue;
    }
    input *more = realloc(out.inputs, (out.num_inputs + 1) * sizeof *more);
    if (more == NULL) {
      fprintf(stderr, "out of memory\n");
      exit(2);
    }
    out.inputs = more;
    out.inputs[out.num_inputs++] = one;
  }
  closedir(dir);
  return out;
}

static inline void free_folder(folder *in) {
  for (size_t i = 0; i < in->num_inputs; i++) {
    free(in->inputs[i].path);
    free(in->inputs[i].data);
  }
  free(in->inputs);
}

#endif  // PINVERIFY_TESTS_INPUTS_H
