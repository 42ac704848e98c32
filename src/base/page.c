#include "base/page.h"

uint32_t obs_page_rows(const obs_page *p) {
  return p->limit != 0 ? p->limit : OBS_PAGE_ROWS;
}

void obs_page_end_after(obs_page_end *end, uint32_t given, uint32_t left, uint32_t rows) {
  end->more = given > 0 && given < left;
  end->complete = !end->more || given == rows;
}

/* ---- walks ---- */

static int compare(uint64_t a, uint64_t b) {
  return (a > b) - (a < b);
}

int obs_page_compare(const void *places_a, const void *places_b) {
  const obs_page_place *a = places_a, *b = places_b;
  if (a->changed != b->changed) return a->changed ? 1 : -1;
  if (!a->changed && a->key != b->key) return compare(b->key, a->key);
  if (!a->changed && a->then != b->then) return compare(b->then, a->then);
  return compare(a->id, b->id);
}

bool obs_page_walk_has(const obs_page_walk *w, uint64_t first, uint64_t last, obs_page_place *place) {
  place->changed = false;
  if (w->through == 0) return true;
  if (first > w->through) return false;
  place->changed = last > w->through;
  return obs_page_compare(place, &w->at) > 0;
}

/* ---- filling ---- */

obs_page_fill obs_page_fill_begin(const obs_page *p, obs_json_writer *w) {
  return (obs_page_fill){.w = w,
                         .from = w->out->len,
                         .bytes = p->limit != 0 ? OBS_PAGE_BYTES_MAX : OBS_PAGE_BYTES,
                         .limit = obs_page_rows(p)};
}

void obs_page_begin_row(obs_page_fill *f) {
  f->before = *f->w;
  f->mark = f->w->out->len;
}

bool obs_page_end_row(obs_page_fill *f) {
  if (f->rows > 0 && f->w->out->len - f->from > f->bytes) {
    f->w->out->len = f->mark;
    *f->w = f->before;
    return false;
  }
  f->rows++;
  return true;
}
