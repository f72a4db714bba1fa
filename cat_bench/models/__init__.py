"""Models: backends, throttling, cached calls, and the access that plug-ins get.

Messages and sampling parameters come in; replies or failures go out, each stored before it is read.
A backend makes one request and never raises for a failed call; no call is paid for twice.
`throttling` retries and slows down after a 429; `lending` gives plug-ins access and bills them.
"""
