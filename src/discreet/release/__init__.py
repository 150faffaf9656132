"""Release: the only thing that leaves. A value with its events, guarantee, accuracy and provenance."""

from discreet.release.release import RECORD, VALUE, Internal, Release, Shelf, check_name

__all__ = ["RECORD", "VALUE", "Internal", "Release", "Shelf", "check_name"]
