"""The fault harness: real processes that are killed, a network that fails, and a history that tells what was promised.

=========== ============================================================================================
``stack``    a whole leukoweb in a folder (SQLite or PostgreSQL): its commands, its rows, its processes
``web``      gunicorn as it is deployed, which can be killed as a whole process group
``postgres`` (``tests.support.postgres.Server``) a PostgreSQL that can be killed and started again
``proxy``    a TCP proxy on loopback: pass, delay, drop, half-close, reset
``schedule`` what is done to whom and when, drawn from a seed
``history``  invoke, ok, fail, info of each operation, and the checker that compares them with what is stored
``answers``  readers that answer over HTTP until they are acknowledged, and keep such a history
``disk``     a small file system that is full or read-only
=========== ============================================================================================

Nothing here is timed: a wait has a limit only so that a test ends. Every schedule prints its seed.
"""
