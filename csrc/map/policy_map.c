// policy_map.c: opens a compiled policy that is in a file.
#define _DARWIN_C_SOURCE 1  // for MAP_ANON
#define _DEFAULT_SOURCE 1

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../pinverify_map.h"
#include "../policy_layout.h"

static int failed(pv_policy_file *out, const char *why, int error) {
  pv_policy_unmap(out);
  out->why = why;
  out->error = error;
  return 0;
}

static int refused(pv_policy_file *out, pv_status status) {
  return failed(out,
                status == PV_ERR_POLICY_MAGIC
                    ? "not a compiled policy; make one with `pinverify "
                      "compile pins.toml --output pins.pvpol`"
                    : pv_status_text(status),
                0);
}

// Compares the magic and the size, so that a large file of another kind is
// neither read nor mapped.
static int check_header(pv_policy_file *out, int fd, uint64_t size) {
  uint8_t header[HEADER_LEN];
  const ssize_t len = pread(fd, header, sizeof(header), 0);
  if (len < 0) {
    return failed(out, "it cannot be read", errno);
  }
  if (len < MAGIC_LEN || memcmp(header, POLICY_MAGIC, MAGIC_LEN) != 0) {
    return refused(out, PV_ERR_POLICY_MAGIC);
  }
  out->len = (size_t)size;
  return len == HEADER_LEN && load_le64(header + SIZE_AT) == size &&
                 out->len == size
             ? 1
             : refused(out, PV_ERR_POLICY_SIZE);
}

// Opens a regular file and nothing else, without waiting for a pipe's writer.
static int open_file(pv_policy_file *out, const char *path, int *out_fd) {
  struct stat about;
  *out = (pv_policy_file){.why = ""};
  *out_fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (*out_fd == -1 || fstat(*out_fd, &about) != 0) {
    return failed(out, "it cannot be opened", errno);
  }
  if (!S_ISREG(about.st_mode) || about.st_size == 0) {
    const bool is_file = S_ISREG(about.st_mode);
    return failed(out, is_file ? "it is empty" : "it is no file", 0);
  }
  return check_header(out, *out_fd, (uint64_t)about.st_size);
}

static int map_bytes(pv_policy_file *out, int fd) {
  void *bytes = mmap(NULL, out->len, PROT_READ, MAP_SHARED, fd, 0);
  if (bytes == MAP_FAILED) {
    return failed(out, "it cannot be mapped", errno);
  }
  out->bytes = bytes;
  return 1;
}

static int copy_bytes(pv_policy_file *out, int fd) {
  uint8_t *bytes = mmap(NULL, out->len, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANON, -1, 0);
  if (bytes == MAP_FAILED) {
    return failed(out, "memory is short", errno);
  }
  out->bytes = bytes;
  for (size_t have = 0; have < out->len;) {
    const ssize_t more = read(fd, bytes + have, out->len - have);
    if (more > 0) {
      have += (size_t)more;
    } else if (more == 0 || errno != EINTR) {
      return failed(out, "it cannot be read whole", more == 0 ? 0 : errno);
    }
  }
  return mprotect(bytes, out->len, PROT_READ) == 0 ||
         failed(out, "it cannot be made read-only", errno);
}

static int open_policy(pv_policy_file *out, const char *path,
                       int (*get_bytes)(pv_policy_file *out, int fd)) {
  int fd = -1;
  const int has_bytes = open_file(out, path, &fd) && get_bytes(out, fd);
  if (fd != -1) {
    close(fd);
  }
  if (!has_bytes) {
    return 0;
  }
  const pv_status status = pv_policy_open(&out->policy, out->bytes, out->len);
  return status == PV_OK || refused(out, status);
}

int pv_policy_map(pv_policy_file *out, const char *path) {
  return open_policy(out, path, map_bytes);
}

int pv_policy_read(pv_policy_file *out, const char *path) {
  return open_policy(out, path, copy_bytes);
}

void pv_policy_unmap(pv_policy_file *file) {
  if (file->bytes != NULL) {
    munmap((void *)(uintptr_t)file->bytes, file->len);
  }
  *file = (pv_policy_file){.why = ""};
}
