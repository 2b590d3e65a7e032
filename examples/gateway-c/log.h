// log.h: the log, one JSON object a line on standard error.
#ifndef GATEWAY_LOG_H
#define GATEWAY_LOG_H

#include <stddef.h>
#include <stdint.h>

enum { LOG_LINE_MAX = 4096, LOG_TEXT_MAX = 200 };

// A log_line is a line that is being written. A field without room is left out,
// so that the line stays one JSON object.
typedef struct log_line {
  size_t len;
  char text[LOG_LINE_MAX];
} log_line;

// log_begin begins a line with the time and the name of an event.
void log_begin(log_line *line, const char *event);

// log_text adds a text. Of a long one, LOG_TEXT_MAX bytes are written; control
// characters and bytes that are not ASCII are written as "?".
void log_text(log_line *line, const char *name, const char *text);

// log_number adds a number.
void log_number(log_line *line, const char *name, uint64_t number);

// log_open and log_close enclose fields in an object of this name.
void log_open(log_line *line, const char *name);
void log_close(log_line *line);

// log_end writes the line.
void log_end(log_line *line);

// log_event writes a line with one text; `name` may be NULL.
void log_event(const char *event, const char *name, const char *text);

#endif
