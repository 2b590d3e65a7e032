// options.c: the command line.
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char USAGE[] =
    "usage: gateway OPTIONS\n"
    "  --listen HOST:PORT           127.0.0.1:8443; [::1]:8443; port 0: any\n"
    "  --certificate FILE           PEM: certificate, issuers and key\n"
    "  --client-authorities FILE    PEM: who issues the clients' certificates\n"
    "  --client-policy FILE         compiled, with pins for clients\n"
    "  --upstream HOST:PORT         the name that is verified and pinned\n"
    "  --upstream-authorities FILE  PEM: who issues its certificate\n"
    "  --upstream-policy FILE       compiled, with pins for its name\n"
    "  --connections N              at most open at a time: 1000\n"
    "  --handshake-seconds S        for each handshake: 10\n"
    "  --idle-seconds S             without a byte: 60\n"
    "  --stop-seconds S             to finish after SIGTERM: 30\n"
    "Signals: HUP reads the policies again, USR1 logs the counters, TERM "
    "stops.\n"
    "To compile a policy: pinverify compile pins.toml --output pins.pvpol\n";

static _Noreturn void give_up(const char *option, const char *why) {
  fprintf(stderr, "gateway: %s: %s; see gateway --help\n", option, why);
  exit(2);
}

static void read_address(host_port *out, const char *option, const char *text) {
  const char *colon = strrchr(text, ':');
  size_t len = colon == NULL ? 0 : (size_t)(colon - text);
  if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
    text++;
    len -= 2;
  } else if (len > 0 && memchr(text, ':', len) != NULL) {
    give_up(option, "write an IPv6 address in brackets, [::1]:8443");
  }
  if (len == 0 || len >= sizeof(out->host) || colon[1] == '\0' ||
      strlen(colon + 1) >= sizeof(out->port)) {
    give_up(option, "write HOST:PORT");
  }
  memcpy(out->host, text, len);
  out->host[len] = '\0';
  memcpy(out->port, colon + 1, strlen(colon + 1) + 1);
}

static double read_number(const char *option, const char *text, double least,
                          double most) {
  char *end = NULL;
  errno = 0;
  const double number = strtod(text, &end);
  if (end == text || *end != '\0' || errno != 0 ||
      !(number >= least && number <= most)) {
    char why[64];
    snprintf(why, sizeof(why), "write a number from %g to %g", least, most);
    give_up(option, why);
  }
  return number;
}

static int64_t read_seconds(const char *option, const char *text) {
  return (int64_t)(1000 * read_number(option, text, 0.01, 86400));
}

void options_read(options *out, int argc, char **argv) {
  enum { LISTEN, UPSTREAM, CONNECTIONS, HANDSHAKE, IDLE, STOP, HELP, FILES };
  static const struct option names[] = {
      {"listen", required_argument, NULL, LISTEN},
      {"upstream", required_argument, NULL, UPSTREAM},
      {"connections", required_argument, NULL, CONNECTIONS},
      {"handshake-seconds", required_argument, NULL, HANDSHAKE},
      {"idle-seconds", required_argument, NULL, IDLE},
      {"stop-seconds", required_argument, NULL, STOP},
      {"help", no_argument, NULL, HELP},
      {"certificate", required_argument, NULL, FILES},
      {"client-authorities", required_argument, NULL, FILES + 1},
      {"client-policy", required_argument, NULL, FILES + 2},
      {"upstream-authorities", required_argument, NULL, FILES + 3},
      {"upstream-policy", required_argument, NULL, FILES + 4},
      {NULL, 0, NULL, 0}};
  *out = (options){.listen = {"127.0.0.1", "8443"},
                   .connections = 1000,
                   .handshake_ms = 10000,
                   .idle_ms = 60000,
                   .stop_ms = 30000};
  const char **const files[] = {&out->certificate, &out->client_authorities,
                                &out->client_policy, &out->upstream_authorities,
                                &out->upstream_policy};
  int index = 0;
  int found = 0;
  while ((found = getopt_long(argc, argv, "", names, &index)) != -1) {
    if (found == '?') {
      give_up("the command line", "no such option, or it lacks its value");
    }
    const char *name = names[index].name;
    if (found >= FILES) {
      *files[found - FILES] = optarg;
    } else if (found == LISTEN || found == UPSTREAM) {
      read_address(found == LISTEN ? &out->listen : &out->upstream, name,
                   optarg);
    } else if (found == CONNECTIONS) {
      out->connections = (uint32_t)read_number(name, optarg, 1, 1000000);
    } else if (found == HELP) {
      fputs(USAGE, stdout);
      exit(0);
    } else {
      int64_t *const times[] = {&out->handshake_ms, &out->idle_ms,
                                &out->stop_ms};
      *times[found - HANDSHAKE] = read_seconds(name, optarg);
    }
  }
  for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
    if (*files[i] == NULL) {
      give_up(names[FILES + i].name, "it is missing");
    }
  }
  if (out->upstream.host[0] == '\0') {
    give_up("upstream", "it is missing");
  }
  if (optind < argc) {
    give_up(argv[optind], "it is no option");
  }
}
