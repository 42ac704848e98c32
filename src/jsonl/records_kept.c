/* The last rows in memory, and the pages made of them. */
#include "jsonl/internal.h"

#include <stdlib.h>

/* Twice the rows, so that moving them to the front is needed once in `kept` appends. */
bool obs_records_kept_init(obs_records *r) {
  r->cap = 2 * r->opts.kept + 1;
  r->rows = calloc(r->cap, sizeof(*r->rows));
  return r->rows != NULL;
}

void obs_records_kept_fini(obs_records *r) {
  for (uint32_t i = 0; i < r->count; i++) free(r->rows[r->first + i].text);
  free(r->rows);
}

static void drop_oldest(obs_records *r) {
  obs_record *oldest = &r->rows[r->first++];
  r->count--;
  r->bytes -= oldest->len;
  free(oldest->text);
}

void obs_records_keep(obs_records *r, uint64_t number, char *text, uint32_t len) {
  if (len > r->opts.kept_bytes) {
    free(text);
    return;
  }
  if (r->first + r->count == r->cap) {
    memmove(r->rows, r->rows + r->first, r->count * sizeof(*r->rows));
    r->first = 0;
  }
  obs_record *rows = r->rows + r->first;
  uint32_t at = r->count++;
  for (; at > 0 && rows[at - 1].number > number; at--) rows[at] = rows[at - 1];
  rows[at] = (obs_record){number, text, len};
  r->bytes += len;
  while (r->count > r->opts.kept || r->bytes > r->opts.kept_bytes) drop_oldest(r);
}

/* How many of those kept have a number below `number`. */
static uint32_t rows_below(const obs_records *r, uint64_t number) {
  uint32_t low = 0, high = r->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (r->rows[r->first + middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

const obs_record *obs_records_find(const obs_records *r, uint64_t number) {
  uint32_t i = rows_below(r, number);
  const obs_record *row = &r->rows[r->first + i];
  return i < r->count && row->number == number ? row : NULL;
}

static bool matches(const obs_record *row, obs_records_match match, void *arg) {
  if (match == NULL) return true;
  cJSON *json = cJSON_ParseWithLength(row->text, row->len);
  bool ok = json != NULL && match(arg, json);
  cJSON_Delete(json);
  return ok;
}

observer_err obs_records_page(obs_records *r, obs_records_match match, void *arg, uint64_t before, uint32_t limit,
                              obs_buf *out, uint64_t *next) {
  uint64_t last = 0;
  uint32_t taken = 0;
  *next = 0;
  obs_buf_putc(out, '[');
  pthread_mutex_lock(&r->lock);
  for (uint32_t i = before == 0 ? r->count : rows_below(r, before); i > 0 && *next == 0 && limit > 0; i--) {
    const obs_record *row = &r->rows[r->first + i - 1];
    if (!matches(row, match, arg)) continue;
    if (taken++ == limit) {
      *next = last;
      break;
    }
    if (taken > 1) obs_buf_putc(out, ',');
    obs_buf_append(out, row->text, row->len);
    last = row->number;
  }
  pthread_mutex_unlock(&r->lock);
  obs_buf_putc(out, ']');
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

bool obs_records_one(obs_records *r, uint64_t number, obs_buf *out) {
  pthread_mutex_lock(&r->lock);
  const obs_record *row = obs_records_find(r, number);
  if (row != NULL) obs_buf_append(out, row->text, row->len);
  pthread_mutex_unlock(&r->lock);
  return row != NULL;
}
