#include "fleet/hands.h"

#include "base/hex.h"
#include "base/log.h"
#include "fleet/roster.h"

void obs_fleet_hands_expect(const obs_fleet_hands *h, obs_fleet_rows *rows) {
  obs_roster roster = {0};
  char why[OBS_NATS_WHY_MAX] = "", who[OBS_HEX_LEN + 1];
  observer_err err = obs_roster_read_edges(h->nats, &roster, why);
  if (err != OBSERVER_E_OK) obs_log_debug("fleet", "which edges there are is not known: %s", why);
  for (uint32_t i = 0; err == OBSERVER_E_OK && i < roster.nedges; i++) {
    obs_hex_format(roster.edges[i].id, who);
    (void)obs_fleet_rows_expect(rows, who, roster.edges[i].away || roster.edges[i].stopped);
  }
  obs_roster_fini(&roster);
}
