/* notify.h - telling the service manager how we are, as sd_notify(3) describes it: a datagram to the socket that NOTIFY_SOCKET names.
 *
 * With `Type=notify-reload` in the unit, `systemctl reload` waits until a SIGHUP has been carried out. Without NOTIFY_SOCKET all of
 * these do nothing. What cannot be told is not worth stopping for. */
#ifndef SLUICE_NOTIFY_H
#define SLUICE_NOTIFY_H

void notify_ready(void);       /* started, or a reload has ended, well or not */
void notify_reloading(void);
void notify_stopping(void);

#endif
