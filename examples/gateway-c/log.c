// log.c: JSON lines in a buffer of fixed size.
#include "log.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Room for the brackets that end a line: it always has an end.
enum { ENDING = 16 };

static bool append(log_line *line, const char *text, size_t len) {
  if (len > LOG_LINE_MAX - ENDING - line->len) {
    return false;
  }
  memcpy(line->text + line->len, text, len);
  line->len += len;
  return true;
}

static bool append_quoted(log_line *line, const char *text) {
  bool fits = append(line, "\"", 1);
  for (size_t i = 0; fits && i < LOG_TEXT_MAX && text[i] != '\0'; i++) {
    const bool is_plain = text[i] >= ' ' && text[i] <= '~';
    if (text[i] == '"' || text[i] == '\\') {
      fits = append(line, "\\", 1);
    }
    fits = fits && append(line, is_plain ? &text[i] : "?", 1);
  }
  return fits && append(line, "\"", 1);
}

// Appends a comma, where one is due, and the name of a field.
static bool append_name(log_line *line, const char *name) {
  const bool is_first = line->text[line->len - 1] == '{';
  return (is_first || append(line, ", ", 2)) && append_quoted(line, name) &&
         append(line, ": ", 2);
}

void log_begin(log_line *line, const char *event) {
  char now[32] = "";
  struct tm parts;
  const time_t seconds = time(NULL);
  if (gmtime_r(&seconds, &parts) != NULL) {
    strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", &parts);
  }
  line->text[0] = '{';
  line->len = 1;
  log_text(line, "time", now);
  log_text(line, "event", event);
}

void log_text(log_line *line, const char *name, const char *text) {
  const size_t before = line->len;
  if (!append_name(line, name) || !append_quoted(line, text)) {
    line->len = before;
  }
}

void log_number(log_line *line, const char *name, uint64_t number) {
  const size_t before = line->len;
  char digits[24];
  const int len =
      snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
  if (!append_name(line, name) || !append(line, digits, (size_t)len)) {
    line->len = before;
  }
}

// An object without its name would break the line; those of the gateway are few
// and short, and always have room.
void log_open(log_line *line, const char *name) {
  (void)(append_name(line, name) && append(line, "{", 1));
}

void log_close(log_line *line) {
  line->text[line->len++] = '}';
}

void log_end(log_line *line) {
  line->text[line->len++] = '}';
  line->text[line->len++] = '\n';
  // A log that nobody takes must not end the connections.
  const ssize_t written = write(STDERR_FILENO, line->text, line->len);
  (void)written;
}

void log_event(const char *event, const char *name, const char *text) {
  log_line line;
  log_begin(&line, event);
  if (name != NULL) {
    log_text(&line, name, text);
  }
  log_end(&line);
}
