"""The service under load, faults and attack: real processes, real sockets on loopback, a real database."""
