"""The loop served: the `meshwright` command and the REST application. Neither decides anything; both call `api.service`."""
