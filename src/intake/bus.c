#include "intake/bus.h"

#include "base/clock.h"
#include "intake/internal.h"

#include <stdio.h>
#include <stdlib.h>

static const obs_intake_source *const sources[] = {&obs_intake_streams, &obs_intake_nng};
enum { SOURCES = sizeof sources / sizeof *sources };

/* Opens what of the socket's addresses is this source's. */
static observer_err open_source(obs_bus *bus, const obs_intake_source *source, obs_transport transport,
                                const obs_address *all, size_t nall, obs_address *own, char *text, size_t size) {
  uint32_t n = 0;
  for (size_t i = 0; i < nall; i++) {
    if (source->takes(&all[i])) own[n++] = all[i];
  }
  if (n == 0) return OBSERVER_E_OK;
  observer_err err = source->open(bus, transport, own, n, &bus->open[bus->nopen].own, text, size);
  if (err != OBSERVER_E_OK) return err;
  bus->open[bus->nopen].source = source;
  bus->open[bus->nopen++].transport = transport;
  return OBSERVER_E_OK;
}

static observer_err open_socket(obs_bus *bus, const obs_bus_socket *socket, char *text, size_t size) {
  const char *kind = obs_transport_names[socket->transport];
  size_t n = socket->urls.n;
  char why[160] = "";
  obs_address *all = calloc(2 * n + 1, sizeof *all);
  observer_err err = all != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
  if (err != OBSERVER_E_OK) snprintf(text, size, "%s: %s", kind, observer_strerror(err));
  for (size_t i = 0; i < n && err == OBSERVER_E_OK; i++) {
    err = obs_address_parse(socket->urls.urls[i], &all[i], why, sizeof why);
    if (err == OBSERVER_E_OK && all[i].key[0] != '\0' && !obs_access_enabled(bus->opts.access)) {
      snprintf(why, sizeof why, "key: there is no key file");
      err = OBSERVER_E_INVALID;
    }
    if (err != OBSERVER_E_OK) snprintf(text, size, "%s %s: %s", kind, socket->urls.urls[i], why);
  }
  for (size_t i = 0; i < SOURCES && err == OBSERVER_E_OK; i++)
    err = open_source(bus, sources[i], socket->transport, all, n, all + n, text, size);
  free(all);
  return err;
}

observer_err obs_bus_open(const obs_bus_opts *opts, obs_bus **out, char *error_text, size_t error_size) {
  obs_bus *bus = calloc(1, sizeof *bus);
  observer_err err = OBSERVER_E_NOMEM;
  if (bus == NULL) return err;
  bus->opts = *opts;
  bus->open = calloc((size_t)opts->nsockets * SOURCES + 1, sizeof *bus->open);
  if (bus->open != NULL) err = obs_intake_pool_open(&bus->pool);
  for (uint32_t i = 0; i < opts->nsockets && err == OBSERVER_E_OK; i++)
    err = open_socket(bus, &opts->sockets[i], error_text, error_size);
  bus->opts.sockets = NULL; /* the caller's */
  if (err != OBSERVER_E_OK) {
    obs_bus_close(bus, 0);
    return err;
  }
  *out = bus;
  return OBSERVER_E_OK;
}

void obs_bus_start(obs_bus *bus) {
  for (uint32_t i = 0; i < bus->nopen; i++) bus->open[i].source->start(bus->open[i].own);
}

void obs_bus_urls(const obs_bus *bus, void (*fn)(void *arg, const char *kind, const char *url), void *arg) {
  for (uint32_t i = 0; i < bus->nopen; i++) bus->open[i].source->urls(bus->open[i].own, fn, arg);
}

void obs_bus_get_counts(const obs_bus *bus, obs_transport transport, obs_sp_counts *out) {
  *out = (obs_sp_counts){0};
  for (uint32_t i = 0; i < bus->nopen; i++) {
    if (bus->open[i].transport == transport && bus->open[i].source->counts != NULL)
      bus->open[i].source->counts(bus->open[i].own, out);
  }
}

void obs_bus_probe(obs_bus *bus) {
  for (uint32_t i = 0; i < bus->nopen; i++) {
    if (bus->open[i].source->probe != NULL) bus->open[i].source->probe(bus->open[i].own);
  }
}

const char *obs_bus_silent(obs_bus *bus) {
  const char *url = NULL;
  for (uint32_t i = 0; i < bus->nopen && url == NULL; i++) {
    if (bus->open[i].source->silent != NULL) url = bus->open[i].source->silent(bus->open[i].own);
  }
  return url;
}

void obs_bus_room(obs_bus *bus) {
  for (uint32_t i = 0; i < bus->nopen; i++) bus->open[i].source->room(bus->open[i].own);
}

void obs_bus_stop_intake(obs_bus *bus) {
  for (uint32_t i = 0; i < bus->nopen; i++) bus->open[i].source->stop(bus->open[i].own);
}

void obs_bus_close(obs_bus *bus, uint32_t deadline_ms) {
  if (bus == NULL) return;
  uint64_t until = obs_clock_mono_ms() + deadline_ms;
  for (uint32_t i = 0; bus->open != NULL && i < bus->nopen; i++) bus->open[i].source->close(bus->open[i].own, until);
  obs_intake_pool_close(bus->pool);
  free(bus->open);
  free(bus);
}
