"""The process and its sockets: servers, protocol, probes, workers, logs."""
