/* What the service manager is told: systemd's notification protocol (sd_notify(3)), one datagram a message.
 *
 * Without NOTIFY_SOCKET, or where it is nobody's, nothing happens. Main thread only, but for the sends of one, which
 * never wait. */
#ifndef OBS_BASE_SERVICE_MANAGER_H
#define OBS_BASE_SERVICE_MANAGER_H

#include <stdbool.h>
#include <stdint.h>

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment. */
void obs_service_manager_begin(void);
/* The start goes on, and may take `more_s` seconds from now; `status` is for a person. */
void obs_service_manager_starting(uint32_t more_s, const char *status);
/* The start, or a reload, is over. */
void obs_service_manager_ready(const char *status);
void obs_service_manager_reloading(void);
void obs_service_manager_stopping(void);
/* Whether signs of life are wanted. */
bool obs_service_manager_watches(void);
void obs_service_manager_alive(void);

#endif
