"""Language models and servers that misbehave on purpose, behind real HTTP on the loopback interface.

`server` speaks, `behaviours` says what (one function each, by name), `play` runs the loop against one and checks what must hold.
"""
