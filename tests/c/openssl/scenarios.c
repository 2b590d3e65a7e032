// scenarios.c: the program that runs scenarios of the adapter.
//
//   scenarios FOLDER TLS1.2|TLS1.3 SCENARIO...
//
// FOLDER has certificates and policies, which tests/helpers/openssl_cast.py
// makes. The program ends with 0 if all scenarios hold. Without arguments it
// lists them; with --library it prints the version of the library that runs.
#include "dialogue.h"

static bool run_one(const scenario *table, const char *name) {
  for (; table->name != NULL; table++) {
    if (strcmp(table->name, name) == 0) {
      table->run();
      printf("%s\n", name);
      return true;
    }
  }
  return false;
}

static void list(const scenario *table) {
  for (; table->name != NULL; table++) {
    printf("%s\n", table->name);
  }
}

int main(int argc, char **argv) {
  if (argc == 1) {
    list(client_scenarios);
    list(server_scenarios);
    list(composition_scenarios);
    list(verification_scenarios);
    list(early_scenarios);
    list(boringssl_scenarios);
    return 0;
  }
  if (argc == 2 && strcmp(argv[1], "--library") == 0) {
    puts(OpenSSL_version(OPENSSL_VERSION));
    return 0;
  }
  if (argc < 4) {
    TROUBLE("usage: scenarios FOLDER TLS1.2|TLS1.3 SCENARIO...");
  }
  begin_dialogues(argv[1], argv[2]);
  for (int i = 3; i < argc; i++) {
    if (!run_one(client_scenarios, argv[i]) &&
        !run_one(server_scenarios, argv[i]) &&
        !run_one(composition_scenarios, argv[i]) &&
        !run_one(verification_scenarios, argv[i]) &&
        !run_one(early_scenarios, argv[i]) &&
        !run_one(boringssl_scenarios, argv[i])) {
      TROUBLE(argv[i]);
    }
  }
  return 0;
}
