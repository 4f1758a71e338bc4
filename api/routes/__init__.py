"""One module a group of paths; a route translates between HTTP and `api.service`."""
