/* Configuration: the first line of the input is flags, separated by spaces; the rest is the file. What is taken can be
 * printed, and what was printed is taken again and says the same, but
 * for texts with a semicolon behind white space. */
#include "observerd/config.h"

#include "place.h"

enum { INPUT_MAX = 8192, FLAGS = 16 };

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  place_make();
  return 0;
}

/* All values as --check-config prints them; malloc'ed. NULL: refused, with words. */
static char *load(int argc, char **argv, size_t *len) {
  obs_config config;
  obs_buf error = {0};
  char *text = NULL;
  observer_err err = obs_config_load(argc, argv, &config, &error);
  if (err == OBSERVER_E_OK) {
    FILE *out = open_memstream(&text, len);
    FUZZ_CHECK(out != NULL);
    obs_config_print(&config, out);
    FUZZ_CHECK(fclose(out) == 0 && text != NULL);
  } else {
    FUZZ_CHECK(err == OBSERVER_E_INVALID && error.len > 0 && error.p[error.len - 1] == '\n');
  }
  obs_config_fini(&config);
  obs_buf_fini(&error);
  return text;
}

/* Drops the comments that say where a value came from: these differ. */
static void drop_origins(char *text, size_t *len) {
  static const char *const origins[] = {"# file ", "# environment ", "# flag "};
  size_t to = 0;
  for (size_t at = 0, n; at < *len; at += n) {
    const char *end = memchr(text + at, '\n', *len - at);
    bool origin = false;
    n = end != NULL ? (size_t)(end - text) - at + 1 : *len - at;
    for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++)
      origin = origin || (n > strlen(origins[i]) && memcmp(text + at, origins[i], strlen(origins[i])) == 0);
    if (origin) continue;
    memmove(text + to, text + at, n);
    to += n;
  }
  *len = to;
}

/* What no file can say: a comment begins at a semicolon behind white space, quotes or not; and a line ends. */
static bool is_beyond(const char *text, size_t len) {
  for (size_t i = 1; i < len; i++) {
    if (text[i] == ';' && (strchr(" \t\v\f\r", text[i - 1]) != NULL)) return true;
  }
  return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > INPUT_MAX) return 0;
  char program[] = "observerd", option[160], flags[512], *argv[FLAGS + 3] = {program, option};
  int argc = 2;
  const uint8_t *nl = size > 0 ? memchr(data, '\n', size) : NULL;
  size_t line = nl != NULL ? (size_t)(nl - data) : size;
  size_t n = line < sizeof(flags) - 1 ? line : sizeof(flags) - 1;
  if (n > 0) memcpy(flags, data, n);
  flags[n] = '\0';
  for (char *save, *word = strtok_r(flags, " ", &save); word != NULL && argc < FLAGS;
       word = strtok_r(NULL, " ", &save)) {
    if (strncmp(word, "--config", 8) != 0) argv[argc++] = word; /* another file would be read */
  }
  place_spill("observer.ini", nl != NULL ? nl + 1 : data, nl != NULL ? size - line - 1 : 0);
  snprintf(option, sizeof(option), "--config=%s", place_path("observer.ini"));
  size_t len = 0, again_len = 0;
  char *text = load(argc, argv, &len);
  if (text != NULL) drop_origins(text, &len);
  if (text == NULL || is_beyond(text, len)) {
    free(text);
    return 0;
  }
  place_spill("printed.ini", text, len);
  snprintf(option, sizeof(option), "--config=%s", place_path("printed.ini"));
  char *again = load(2, argv, &again_len);
  if (again != NULL) drop_origins(again, &again_len);
  FUZZ_CHECK(again != NULL && again_len == len && memcmp(again, text, len) == 0);
  free(text);
  free(again);
  return 0;
}
