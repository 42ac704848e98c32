/* A TOML document. Paths and texts are within their bounds and UTF-8, lines do not go back, and what is accepted is
 * accepted with a comment and a blank line behind it, and says the same. */
#include "base/utf8.h"
#include "options/toml.h"

#include "fuzz.h"

enum { INPUT_MAX = 8192 };

typedef struct {
  unsigned line;
  uint64_t calls, bytes;
} seen;

static void look(void *arg, const obs_toml_value *v) {
  seen *s = arg;
  FUZZ_CHECK(v->depth >= 1 && v->depth <= OBS_TOML_KEYS && v->line >= 1);
  for (size_t i = 0; i < v->depth; i++) {
    FUZZ_CHECK(obs_utf8_valid(v->path[i].p, v->path[i].len));
    s->bytes += v->path[i].len;
  }
  FUZZ_CHECK(obs_utf8_valid(v->text.p, v->text.len) && (v->type < OBS_TOML_ARRAY || v->text.len == 0));
  FUZZ_CHECK(!v->header || v->type >= OBS_TOML_TABLE);
  FUZZ_CHECK(v->line >= s->line);
  s->line = v->line;
  s->calls++;
  s->bytes += v->text.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char more[] = "\n# more\n\n";
  char text[INPUT_MAX + sizeof(more)];
  obs_toml_fault fault = {0};
  seen first = {0}, second = {0};
  if (size > INPUT_MAX) return 0;
  if (!obs_toml_read((const char *)data, size, look, &first, &fault)) {
    FUZZ_CHECK(fault.line >= 1 && fault.why[0] != '\0' && obs_utf8_valid(fault.why, strlen(fault.why)));
    return 0;
  }
  if (size > 0) memcpy(text, data, size);
  memcpy(text + size, more, sizeof(more) - 1);
  FUZZ_CHECK(obs_toml_read(text, size + sizeof(more) - 1, look, &second, &fault));
  FUZZ_CHECK(first.calls == second.calls && first.bytes == second.bytes && first.line == second.line);
  return 0;
}
