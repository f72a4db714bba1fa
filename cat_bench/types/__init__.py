"""The records and the plug-in contracts that the whole package uses.

`calls` holds requests and replies, `records` questions, rollouts and estimates, `plugins` the
methods that a plug-in must have. Records are frozen. Nothing here computes, and no record that an
aggregator sees holds a target.
"""
