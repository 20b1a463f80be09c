/* The feature registry: see registry.h. A new feature is one line here. */
#include "launch/registry.h"

#include "gates/gates.h"
#include "limits/limits.h"
#include "net/net.h"

const struct feature *const feature_registry[] = {
    &feature_process_gate,
    &feature_terminal_gate,
    &feature_session_gate,
    &feature_cpu_affinity,
    &feature_metadata_gate,
    &feature_process_limit,
    &feature_own_domain,
    &feature_netlink_view,
    &feature_interface_view,
    &feature_inert_udp,
    &feature_destinations,
    &feature_bind,
    &feature_listen,
    &feature_port_names,
    &feature_hosts_view,
    &feature_proc_view,
    &feature_hosts_view_writable,
    &feature_proc_view_writable,
    &feature_proc_looks,
    &feature_linger,
    &feature_explain,
    NULL,
};
