# SPDX-License-Identifier: Apache-2.0
# After an upgrade. systemd holds the sockets meanwhile: no call is refused. A daemon that runs is worth more
# than one that will not start, so a configuration that the new version does not take is no reason to stop it. Which file that
# is, the daemon's own command line says: a drop-in may have named another one. $@: who speaks with systemd.
restart_if_running() {
  "$@" is-active cri-resolved.service >/dev/null || return 0
  if ! cri-resolved --check --pid "$(systemctl show --value --property=MainPID cri-resolved.service)" >&2; then
    echo "cri-resolved: WARNING: the new version does not take this configuration. The old version runs on." >&2
    echo "cri-resolved: Correct it, then: systemctl restart cri-resolved.service" >&2
    return 0
  fi
  "$@" try-restart cri-resolved.service ||
    echo "cri-resolved: WARNING: it did not start again: see systemctl status cri-resolved.service" >&2
}
