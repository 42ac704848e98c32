#include "fleet/again.h"

#include "base/row.h"

#include <inttypes.h>
#include <stdio.h>

void obs_again_subject(uint64_t edge, char out[OBS_AGAIN_SUBJECT_MAX]) {
  (void)snprintf(out, OBS_AGAIN_SUBJECT_MAX, "observer.again.%016" PRIx64, edge);
}

void obs_again_ask(obs_nats *nats, uint64_t edge, uint32_t p, uint64_t after) {
  char subject[OBS_AGAIN_SUBJECT_MAX], text[64];
  obs_again_subject(edge, subject);
  int n = snprintf(text, sizeof text, "{\"p\":%" PRIu32 ",\"after\":%" PRIu64 "}", p, after);
  (void)obs_nats_send(nats, subject, NULL, text, (size_t)n);
}

bool obs_again_read(const void *data, size_t len, uint32_t partitions, uint32_t *p, uint64_t *after) {
  uint64_t number = 0;
  cJSON *row = cJSON_ParseWithLength(data, len);
  bool ok = obs_row_u64(row, "p", &number) && obs_row_u64(row, "after", after) && number < partitions;
  cJSON_Delete(row);
  *p = (uint32_t)number;
  return ok;
}
