#include "base/cursor.h"

#include <stdio.h>

void obs_cursor_reason(const obs_cursor *c, char *out, size_t size) {
  snprintf(out, size, "%s at byte %zu", c->error, (size_t)(c->at - c->base));
}
