#include "observerd/fleet.h"

#include "nats/jetstream.h"

#include <stdio.h>
#include <stdlib.h>

struct obs_fleet {
  obs_commit *commit;
  obs_edge *edge;
};

bool obs_fleet_check(const obs_config *c, obs_buf *error) {
  size_t before = error->len;
  bool forwards = c->forward.n > 0;
  if (forwards && !obs_nats_is_built_in())
    obs_buf_puts(error, "forward: this program was built without NATS (libnats-dev)\n");
  if (forwards && c->ephemeral) obs_buf_puts(error, "forward: needs a journal, and there is none with ephemeral\n");
  if ((c->nats_cert == NULL) != (c->nats_key == NULL))
    obs_buf_puts(error, "nats-cert and nats-key: one needs the other\n");
  return error->len == before;
}

static void on_full(void *arg, const char *why) {
  const obs_fleet *f = arg;
  obs_commit_hold(f->commit, why);
}

observer_err obs_fleet_open(const obs_config *c, obs_journal *journal, obs_commit *commit, obs_fleet **out, char *error,
                            size_t size) {
  *out = NULL;
  if (c->forward.n == 0) return OBSERVER_E_OK;
  obs_fleet *f = calloc(1, sizeof(*f));
  if (f == NULL) return OBSERVER_E_NOMEM;
  f->commit = commit;
  const obs_edge_opts edge = {.journal = journal,
                              .dir = c->data_dir,
                              .urls = (const char *const *)c->forward.items,
                              .nurls = c->forward.n,
                              .creds_file = c->nats_creds,
                              .ca_file = c->nats_ca,
                              .cert_file = c->nats_cert,
                              .key_file = c->nats_key,
                              .replicas = (uint32_t)c->replicas,
                              .spool_bytes = c->spool_bytes,
                              .linger_ms = c->linger_s * 1000,
                              .full = on_full,
                              .arg = f};
  observer_err err = obs_edge_open(&edge, &f->edge, error, size);
  if (err != OBSERVER_E_OK) {
    obs_fleet_close(f);
    return err;
  }
  *out = f;
  return OBSERVER_E_OK;
}

observer_err obs_fleet_start(obs_fleet *f) {
  return f != NULL ? obs_edge_start(f->edge) : OBSERVER_E_OK;
}

void obs_fleet_recorded(obs_fleet *f) {
  if (f != NULL) obs_edge_recorded(f->edge);
}

void obs_fleet_stop(obs_fleet *f, uint32_t ms) {
  if (f != NULL) obs_edge_stop(f->edge, ms);
}

void obs_fleet_close(obs_fleet *f) {
  if (f == NULL) return;
  obs_edge_close(f->edge);
  free(f);
}

obs_edge *obs_fleet_edge(obs_fleet *f) {
  return f != NULL ? f->edge : NULL;
}
