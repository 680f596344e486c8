"""componentize-py looks for the resources of an interface in a module of the interface's name, and for all else in the module that it is given."""

from app import Upload

__all__ = ["Upload"]
