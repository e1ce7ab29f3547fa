"""Every write a person causes, one function each. Long work is queued by name and done by ``labelling.jobs``."""


class Refused(Exception):
    """What was asked for can't be done now. The message says why, for people."""
